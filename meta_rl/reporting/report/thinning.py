"""Fewer points of long curves, which look the same and fit into a page."""

from collections.abc import Sequence

import numpy as np


def thinned(curves: Sequence[np.ndarray], max_points: int) -> np.ndarray:
    """Which points of some curves over the same axis are kept, int [N], in order.

    All of them where they are few. Else the first and the last, and of each of several equal
    stretches the least and the greatest value of every curve: so no extreme is lost, nor any peak
    that can be seen.

    Args:
        curves: each [I]; nan where there is no value.
        max_points: the greatest N; at least two for each curve, and two more.
    """
    num_points = len(curves[0]) if curves else 0
    if num_points <= max_points:
        return np.arange(num_points)
    known = [curve for curve in curves if np.isfinite(curve).any()]
    num_stretches = max(1, (max_points - 2) // max(1, 2 * len(known)))
    kept = {0, num_points - 1}
    for stretch in np.array_split(np.arange(num_points), num_stretches):
        for curve in known:
            values = curve[stretch]
            if np.isfinite(values).any():
                kept |= {int(stretch[np.nanargmin(values)]), int(stretch[np.nanargmax(values)])}
    return np.array(sorted(kept))
