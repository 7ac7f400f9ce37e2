"""A user's values and exceptions in words that fit into one line."""

from typing import Any

import numpy as np

_MAX_LENGTH = 300


def one_line(text: str) -> str:
    """`text` without line breaks, control characters or more than some hundred letters."""
    short = text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."
    plain = " ".join(short.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def exception_text(error: BaseException) -> str:
    """Type and message, "ZeroDivisionError: division by zero"; never fails."""
    name = one_line(type(error).__name__)
    try:
        message = one_line(str(error))
    except BaseException:  # A user's __str__ may raise anything.
        return f"{name}, whose text cannot be printed"
    return f"{name}: {message}" if message else name


def described(value: Any) -> str:
    """What a value is: "None", "an array of shape (3,) and type float32", "the str 'x'"."""
    if value is None or isinstance(value, bool):
        return str(value)
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, tuple | list):
        inner = sorted({type(entry).__name__ for entry in value})
        of = f" of type {' and '.join(inner)}" if inner else ""
        return f"a {kind} of {len(value)} values{of}"
    try:
        return f"the {kind} {one_line(repr(value))}"
    except BaseException:
        return f"a {kind}"
