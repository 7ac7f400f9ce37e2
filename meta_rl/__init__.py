"""Meta-reinforcement learning in PyTorch: MAML-TRPO on batched environments."""

__version__ = "0.1.0"
