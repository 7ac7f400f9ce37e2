"""Tasks in words for the layers above, which do not import ``envs`` themselves."""

from envs.task_words import joined_entries, shown_entries

__all__ = ["joined_entries", "shown_entries"]
