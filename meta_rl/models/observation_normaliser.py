"""Observations brought to one scale by running statistics, before policy and baseline see them.

The statistics are those of all training steps so far. They change between meta-iterations only, so
the likelihood ratios within one are exact, and they are the same for all tasks.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from meta_rl.ops.moments import Moments
from meta_rl.types import Params

NORMALISED_BOUND = 10.0
# Single precision resolves no smaller share of a number than 1.2e-7: what varies by less than some
# of that is rounding.
_MIN_RELATIVE_STD = 1e-6
_PREFIX = "observation_moments."


class ObservationNormaliser(NamedTuple):
    """``(o - mean) / std``, clipped to +-10.

    Attributes:
        mean: [O].
        factor: 1 / std, [O].
    """

    mean: Tensor
    factor: Tensor

    def __call__(self, observation: Tensor) -> Tensor:
        """[..., O] -> [..., O]; the same bits for an observation in any batch."""
        scaled = (observation - self.mean) * self.factor
        return scaled.clamp(-NORMALISED_BOUND, NORMALISED_BOUND)

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(self.mean.to(device), self.factor.to(device))


def observation_normaliser(
    moments: Moments | None, device: torch.device
) -> ObservationNormaliser | None:
    """The normaliser that statistics give; None without statistics.

    An entry that has never varied keeps its unit, and so does everything before the first
    statistics: then observations are clipped only.

    Args:
        moments: of observations.
        device: where observations will be.
    """
    if moments is None:
        return None
    std = moments.variance.sqrt()
    std = torch.where(std > _MIN_RELATIVE_STD * moments.mean.abs(), std, 1.0)
    # A denormal standard deviation would have an infinite inverse.
    factor = (1.0 / std).clamp(max=1e30)
    return ObservationNormaliser(moments.mean.float().to(device), factor.float().to(device))


def with_moments(params: Params, moments: Moments | None) -> Params:
    """Parameters and statistics as one dictionary, the content of a model file."""
    if moments is None:
        return params
    return params | {f"{_PREFIX}{name}": value for name, value in moments._asdict().items()}


def split_moments(model: Params) -> tuple[Params, Moments | None]:
    """What ``with_moments`` was given."""
    params = {name: value for name, value in model.items() if not name.startswith(_PREFIX)}
    if len(params) == len(model):
        return params, None
    return params, Moments(*(model[_PREFIX + name] for name in Moments._fields))
