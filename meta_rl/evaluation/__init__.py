"""Policies that runs have left behind, adapted to test tasks and set side by side."""
