"""JSON as the standard has it, without what Python's reader adds: NaN, Infinity, endless integers.

A number that no float can hold (``1e999``) is an error too, not infinity.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from meta_rl.reading.numbers import parse_integer, shortened
from meta_rl.reading.plain_files import MAX_TEXT_BYTES, read_text
from meta_rl.reading.sentences import FileError

MAX_DEPTH = 50
"""Most brackets that may be open at once, in JSON and in YAML."""


def parse_json(text: str) -> Any:
    """Reads a value.

    Raises:
        ValueError: the text is not JSON, or a number in it is too large.
    """
    try:
        value = json.loads(
            text, parse_int=parse_integer, parse_float=_finite, parse_constant=_refuse
        )
    except RecursionError:
        raise ValueError(f"more than {MAX_DEPTH} brackets are open at once") from None
    # Most files have so few brackets that there is nothing to look for.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} brackets are open at once")
    return value


def read_json(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        FileError: it cannot be read, is not JSON, or is not an object.
    """
    text = read_text(path, max_bytes)
    try:
        value = parse_json(text)
    except ValueError as error:
        raise FileError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileError(f"{path} should hold a JSON object, {{...}}")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shortened(text)} is not a finite number")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [child for entry in level for child in _children(entry)]:
        depth += 1
    return depth


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
