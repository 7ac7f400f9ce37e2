"""Policies that runs have left behind, adapted to held-out tasks and set side by side."""
