"""Numbers that a file holds, taken for nothing else."""

import math
from typing import Any

from meta_rl.reading.numbers import MAX_INTEGER


def whole_number(value: Any) -> int:
    """A count that a file holds.

    Raises:
        ValueError: it is no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise ValueError("not a whole number")
    return value


def finite_number(value: Any) -> float:
    """A number that a file holds.

    Raises:
        ValueError: it is no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a finite number")
    return float(value)
