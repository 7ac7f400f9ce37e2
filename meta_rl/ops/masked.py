"""Statistics over the entries that a weight marks as real."""

import torch
from torch import Tensor


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``x`` over all axes, counting each entry ``weight`` times (0 for padding).

    An all-zero weight gives zero rather than NaN.
    """
    return (x * weight).sum() / weight.sum().clamp(min=1.0)


def weighted_std(deviation: Tensor, weight: Tensor) -> Tensor:
    """Root of the mean square over the last two axes, [..., E, T] -> [..., 1, 1].

    Args:
        deviation: [..., E, T], from whatever mean.
        weight: [..., E, T], 1 for real entries and 0 for padding.
    """
    count = weight.sum((-2, -1), keepdim=True).clamp(min=1.0)
    return torch.sqrt(((deviation * weight) ** 2).sum((-2, -1), keepdim=True) / count)


def rounding_of(x: Tensor, weight: Tensor) -> Tensor:
    """What rounding may change an entry by, a few units in the last place of the largest one.

    Args:
        x: [..., E, T].
        weight: [..., E, T], 1 for real entries and 0 for padding.

    Returns:
        [..., 1, 1].
    """
    return 4.0 * torch.finfo(x.dtype).eps * (x * weight).abs().amax((-2, -1), keepdim=True)


def is_rounding(spread: Tensor, rounding: Tensor) -> Tensor:
    """Whether a spread is no greater than rounding; false where either is not finite."""
    return (spread <= rounding) & torch.isfinite(rounding)


def standardise(x: Tensor, weight: Tensor, *, min_std: float = 1e-8) -> Tensor:
    """Shifts and scales to zero mean and unit standard deviation over the last two axes.

    Args:
        x: [..., E, T].
        weight: [..., E, T], 1 for real entries and 0 for padding, which comes back as zero.
        min_std: added to the standard deviation (not the variance), so that constant input
            comes back as zero. So does input that is constant up to rounding; what is not finite
            makes the result so.
    """
    count = weight.sum((-2, -1), keepdim=True).clamp(min=1.0)
    # Summed in double: the rounding of a constant's mean would come back at unit size.
    mean = ((x * weight).sum((-2, -1), keepdim=True, dtype=torch.float64) / count).to(x.dtype)
    deviation = (x - mean) * weight
    std = weighted_std(deviation, weight)
    constant = is_rounding(std, rounding_of(x, weight))
    return torch.where(constant, 0.0, deviation / (std + min_std))
