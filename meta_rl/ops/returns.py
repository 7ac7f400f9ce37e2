"""Returns and advantages along the last axis, time.

``discount`` carries termination: it is ``discount_factor`` after a step that goes on and zero
after one that reached a terminal state, so no value flows back through the end of an episode.
"""

import torch
from torch import Tensor


def discounted_sums(reward: Tensor, discount: Tensor) -> Tensor:
    """Return-to-go ``G_t = r_t + discount_t * G_{t+1}``, with zero beyond the last step.

    Args:
        reward: [..., T].
        discount: [..., T], the factor between step t and step t + 1.

    Returns:
        [..., T].
    """
    return _backward_recursion(reward, discount)


def generalised_advantages(
    reward: Tensor,
    value: Tensor,
    bootstrap_value: Tensor,
    discount: Tensor,
    valid: Tensor,
    *,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    ``delta_t = r_t + discount_t V_{t+1} - V_t`` and ``A_t = delta_t + discount_t lambda A_{t+1}``.
    An episode that a time limit cut before the last step bootstraps from ``value`` one step
    later, which a padded batch holds for its final observation; padding itself contributes
    nothing.

    Args:
        reward: [..., T].
        value: [..., T], the baseline before each step.
        bootstrap_value: [...], the baseline after step T.
        discount: [..., T], zero where a step terminated.
        valid: [..., T], bool or 0/1.
        gae_lambda: in [0, 1]; 1 gives discounted return-to-go minus value.

    Returns:
        [..., T], zero where not valid.
    """
    next_value = torch.cat([value[..., 1:], bootstrap_value[..., None]], dim=-1)
    delta = (reward + discount * next_value - value) * valid
    return _backward_recursion(delta, discount * gae_lambda)


def _backward_recursion(x: Tensor, factor: Tensor) -> Tensor:
    """``y_t = x_t + factor_t * y_{t+1}`` along the last axis, with zero beyond its end."""
    # Time leads in memory, so that each of the T small steps reads and writes contiguously.
    x_T, factor_T = x.movedim(-1, 0).contiguous(), factor.movedim(-1, 0).contiguous()
    y_T = torch.empty_like(x_T)
    carry = torch.zeros_like(x_T[0])
    for t in range(len(x_T) - 1, -1, -1):
        carry = torch.addcmul(x_T[t], factor_T[t], carry)
        y_T[t] = carry
    return y_T.movedim(0, -1)
