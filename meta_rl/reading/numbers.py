"""Numbers in text, as programs write them: digits of ASCII, no underscores, no spaces within."""

import math
import re

MAX_INTEGER = 2**63 - 1
"""Greatest integer that a file or a setting may hold: what 64 bits take, as in NumPy and torch."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def parse_integer(text: str) -> int:
    """Reads an integer of at most 64 bits.

    Raises:
        ValueError: the text is something else.
    """
    stripped = text.strip(" ")
    value = int(stripped) if _INTEGER.fullmatch(stripped) else None
    if value is None or abs(value) > MAX_INTEGER:
        raise ValueError(f"{shortened(text)} is not an integer")
    return value


def parse_number(text: str) -> float:
    """Reads a finite number.

    Raises:
        ValueError: the text is something else.
    """
    stripped = text.strip(" ")
    value = float(stripped) if _NUMBER.fullmatch(stripped) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{shortened(text)} is not a finite number")
    return value


def shortened(text: str, max_length: int = 60) -> str:
    """A quotation of text that may be long."""
    return repr(text if len(text) <= max_length else f"{text[:max_length]}...")
