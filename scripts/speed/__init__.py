"""The measurements of ``scripts/benchmark.py``, a file for each question that it asks."""
