"""Diagonal Gaussians: densities, divergences and their curvature.

Everything is summed over the action axis: the joint density of a diagonal Gaussian is the
product over its components, and averaging in its place would change every ratio and KL.
"""

import math

import torch
from torch import Tensor

from meta_rl.types import ActionDistribution


def log_prob(distribution: ActionDistribution, action: Tensor) -> Tensor:
    """Log-density of ``action`` [..., A], as [...]."""
    standard_normal = (action - distribution.mean) * torch.exp(-distribution.log_std)
    return log_prob_of_noise(standard_normal, distribution.log_std)


def log_prob_of_noise(standard_normal: Tensor, log_std: Tensor) -> Tensor:
    """Log-density of ``mean + exp(log_std) * standard_normal``, [..., A] -> [...]."""
    per_action = -0.5 * standard_normal**2 - log_std - 0.5 * math.log(2.0 * math.pi)
    return per_action.sum(-1)


def kl_divergence(p: ActionDistribution, q: ActionDistribution) -> Tensor:
    """KL(p || q) in nats, [...], in closed form."""
    variance_ratio = torch.exp(2.0 * (p.log_std - q.log_std))
    squared_distance = ((p.mean - q.mean) * torch.exp(-q.log_std)) ** 2
    per_action = q.log_std - p.log_std + 0.5 * (variance_ratio + squared_distance - 1.0)
    return per_action.sum(-1)


def fisher_vector_product(
    distribution: ActionDistribution, tangent: ActionDistribution
) -> ActionDistribution:
    """Fisher matrix of (mean, log_std) times a tangent: ``diag(1 / std^2, 2)``.

    It is the Hessian of ``kl_divergence`` at equal arguments.
    """
    return ActionDistribution(
        mean=tangent.mean * torch.exp(-2.0 * distribution.log_std),
        log_std=2.0 * tangent.log_std,
    )
