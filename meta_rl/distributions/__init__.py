"""Distributions over actions, as pytrees of their parameters with pure functions as methods."""
