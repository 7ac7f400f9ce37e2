"""Meta-learning algorithms as functions of parameters and data: no environment, no input/output."""
