"""Diagonal Gaussians, for continuous actions."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class DiagonalGaussian(NamedTuple):
    """Independent normal components; see ``Distribution`` for the methods.

    Attributes:
        mean: [..., A].
        log_std: [..., A].
    """

    mean: Tensor
    log_std: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """``mean + exp(log_std) * noise``, [..., A]."""
        return torch.addcmul(self.mean, torch.exp(self.log_std), noise)

    def mode(self) -> Tensor:
        """``mean``, [..., A]."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density of ``action`` [..., A], as [...]."""
        standard_normal = (action - self.mean) * torch.exp(-self.log_std)
        return self._log_prob_of_noise(standard_normal)

    def log_prob_of_draw(self, action: Tensor, noise: Tensor) -> Tensor:
        """Log-density of a draw, from its noise, [..., A] -> [...]."""
        del action
        return self._log_prob_of_noise(noise)

    def kl_divergence(self, other: Self) -> Tensor:
        """KL(self || other), [...]."""
        variance_ratio = torch.exp(2.0 * (self.log_std - other.log_std))
        squared_distance = ((self.mean - other.mean) * torch.exp(-other.log_std)) ** 2
        per_action = other.log_std - self.log_std + 0.5 * (variance_ratio + squared_distance - 1.0)
        return per_action.sum(-1)

    def entropy(self) -> Tensor:
        """``sum (log_std + log(2 pi e) / 2)``, [...]."""
        return (self.log_std + (0.5 + _HALF_LOG_TWO_PI)).sum(-1)

    def fisher_vector_product(self, tangent: Self) -> Self:
        """``diag(1 / std^2, 2)`` times the tangent of (mean, log_std)."""
        return type(self)(
            mean=tangent.mean * torch.exp(-2.0 * self.log_std),
            log_std=2.0 * tangent.log_std,
        )

    def _log_prob_of_noise(self, standard_normal: Tensor) -> Tensor:
        per_action = -0.5 * standard_normal**2 - self.log_std - _HALF_LOG_TWO_PI
        return per_action.sum(-1)
