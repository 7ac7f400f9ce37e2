"""Numbers as short text, for a page that carries thousands of them."""

import base64
from typing import Any

import numpy as np


def pack(values: np.ndarray, *, unit: float, bits: int) -> dict[str, Any]:
    """Rounds numbers to multiples of a unit and writes these as integers in base64.

    Args:
        values: any shape, finite; written in C order.
        unit: the smallest difference that is kept.
        bits: of each integer, 16 or 32; what does not fit is brought to the nearest that does.

    Returns:
        ``unit``, ``bits`` and ``data``, the little-endian integers.
    """
    limits = np.iinfo(np.int16 if bits == 16 else np.int32)
    integers = np.rint(np.asarray(values, dtype=np.float64) / unit).clip(limits.min, limits.max)
    data = base64.b64encode(integers.astype(f"<i{bits // 8}").tobytes()).decode()
    return {"unit": unit, "bits": bits, "data": data}


def rounded(values: np.ndarray, digits: int) -> list[Any]:
    """Numbers as nested lists with few digits; what is not finite is None.

    Args:
        values: any shape but a scalar's.
        digits: after the point.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim > 1:
        return [rounded(part, digits) for part in values]
    return [
        round(value, digits) if np.isfinite(value) else None for value in values.ravel().tolist()
    ]
