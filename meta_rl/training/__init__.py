"""Training runs: the only floor with a loop, a clock, files and logging."""
