"""What ``scripts/check_gpu`` does, a file for each idea.

``main.py``, ``environment.py``, ``journal.py`` and ``part_process.py`` need Python alone: they run
before anything is installed.
"""
