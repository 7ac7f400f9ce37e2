"""Adaptation curves and what a meta-iteration's episodes come to."""
