"""Statistics over the entries that a weight marks as real."""

import torch
from torch import Tensor


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``x`` over all axes, counting each entry ``weight`` times (0 for padding).

    An all-zero weight gives zero rather than NaN.
    """
    return (x * weight).sum() / weight.sum().clamp(min=1.0)


def standardise(x: Tensor, weight: Tensor, *, min_std: float = 1e-8) -> Tensor:
    """Shifts and scales to zero mean and unit standard deviation over the last two axes.

    Args:
        x: [..., E, T].
        weight: [..., E, T], 1 for real entries and 0 for padding, which comes back as zero.
        min_std: added to the standard deviation (not the variance), so that constant input
            comes back as zero.
    """
    count = weight.sum((-2, -1), keepdim=True).clamp(min=1.0)
    # Summed in double: the rounding of a constant's mean would come back at unit size.
    mean = ((x * weight).sum((-2, -1), keepdim=True, dtype=torch.float64) / count).to(x.dtype)
    deviation = (x - mean) * weight
    std = torch.sqrt((deviation**2).sum((-2, -1), keepdim=True) / count)
    return deviation / (std + min_std)
