"""Distributions of supervised tasks."""
