"""Mean and variance of a growing set of vectors, to the same bits however it was shared out."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """What is kept of a set of vectors, or of one set per entry of the leading axes; float64.

    Attributes:
        num_samples: how many vectors, [...].
        mean: [..., O].
        squared_deviation: sum over the vectors of ``(x - mean)^2``, [..., O].
    """

    num_samples: Tensor
    mean: Tensor
    squared_deviation: Tensor

    @property
    def variance(self) -> Tensor:
        """[..., O]; zero where there is no vector."""
        return self.squared_deviation / self.num_samples.clamp(min=1.0)[..., None]


def no_moments(size: int) -> Moments:
    """Those of no vector at all, of ``size`` entries."""
    zeros = torch.zeros(size, dtype=torch.float64)
    return Moments(zeros.new_zeros(()), zeros, zeros.clone())


def task_moments(x: Tensor, weight: Tensor) -> Moments:
    """The moments of each task's steps.

    Args:
        x: [M, E, T, O].
        weight: [M, E, T], 1 for steps that count and 0 for padding.

    Returns:
        [M] sets.
    """
    # Steps lead, so that they are what is summed over.
    x_SMO = x.double().flatten(1, 2).movedim(1, 0)
    weight_SM = weight.double().flatten(1, 2).movedim(1, 0)
    num_samples = sum_by_halves(weight_SM)
    total = sum_by_halves(x_SMO * weight_SM[..., None])
    mean = total / num_samples.clamp(min=1.0)[..., None]
    deviation = (x_SMO - mean) * weight_SM[..., None]
    return Moments(num_samples, mean, sum_by_halves(deviation**2))


def joined_moments(moments: Moments) -> Moments:
    """The moments of all sets along the leading axis together (Chan, Golub & LeVeque 1983).

    Args:
        moments: [N, ...] sets.

    Returns:
        [...] sets.
    """
    weight = moments.num_samples[..., None]
    num_samples = sum_by_halves(moments.num_samples)
    mean = sum_by_halves(weight * moments.mean) / num_samples.clamp(min=1.0)[..., None]
    between = sum_by_halves(weight * (moments.mean - mean) ** 2)
    return Moments(num_samples, mean, sum_by_halves(moments.squared_deviation) + between)


def concatenated_moments(parts: Sequence[Moments], axis: int = 0) -> Moments:
    """One batch of sets of several, along one of their leading axes."""
    return Moments(*(torch.cat(entries, dim=axis) for entries in zip(*parts, strict=True)))


def sum_by_halves(x: Tensor) -> Tensor:
    """Sum over the leading axis, its second half added to the first until one entry is left.

    Only whole tensors are added, so the order of summation is a function of the number of entries:
    the bits depend neither on threads nor on what else is summed beside, as those of ``x.sum(0)``
    may.
    """
    while len(x) > 1:
        half = len(x) // 2
        added = x[:half] + x[half : 2 * half]
        x = torch.cat([added, x[2 * half :]]) if len(x) % 2 else added
    return x[0]
