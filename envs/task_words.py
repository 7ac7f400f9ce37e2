"""Tasks of any number of entries in messages and tables: few whole, many by their ends."""

from collections.abc import Sequence

_MAX_ENTRIES = 6
_NUM_FIRST, _NUM_LAST = 3, 2


def shown_entries(num_entries: int) -> list[int | None]:
    """Which entries of a task are shown, in order; None stands for those left out between.

    Args:
        num_entries: how many a task has.
    """
    if num_entries <= _MAX_ENTRIES:
        return list(range(num_entries))
    return [*range(_NUM_FIRST), None, *range(num_entries - _NUM_LAST, num_entries)]


def joined_entries(parts: Sequence[str]) -> str:
    """``a, b, c, ... 779 more ..., y, z``: the entries of a task, each in words."""
    left_out = f"... {len(parts) - _NUM_FIRST - _NUM_LAST} more ..."
    shown = shown_entries(len(parts))
    return ", ".join(left_out if index is None else parts[index] for index in shown)
