"""What a process runs on: random numbers, ranks, clock, device, compilation."""
