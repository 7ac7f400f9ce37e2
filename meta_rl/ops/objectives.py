"""Surrogates: scalars to maximise whose derivatives are policy gradients, one task at a time.

All agree in their first derivative at the policy that drew the actions; they differ in the
second, which is what a meta-gradient differentiates through. With ``l_t`` the log-probability
of action t under the current parameters and ``l'_t`` under those that drew it:

- ``log_prob_surrogate``: ``l_t A_t``, REINFORCE as in MAML (Finn et al. 2017). Its Hessian is
  biased: it lacks the outer product of the score with itself.
- ``likelihood_ratio_surrogate``: ``exp(l_t - l'_t) A_t``, the low-variance curvature of ProMP
  (Rothfuss et al. 2018, arXiv 1810.06784, eq. 9). Its Hessian leaves out the dependence of later
  states on earlier actions.
- ``dice_surrogate``: unbiased derivatives of every order (Foerster et al. 2018, arXiv
  1802.05098), in the form for advantages of Loaded DiCE (Farquhar et al. 2019, arXiv 1909.10549),
  at a variance that grows with the horizon.

Each takes ``log_prob``, ``old_log_prob``, ``advantage`` and ``weight``, all [E, T], and returns
the sum over an episode's real steps, averaged over episodes and divided by the horizon T. For
episodes of full length that is the mean over steps. Episodes that end early count by their length,
as they do in the policy gradient itself; a mean over the real steps alone would instead let the
few steps of a nearly solved task make gradients as large, and far noisier, than those of an
unsolved one. TRPO's surrogate is ``likelihood_ratio_surrogate`` too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Surrogate = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def log_prob_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, weight: Tensor
) -> Tensor:
    """``log_prob * advantage``; ``old_log_prob`` plays no part."""
    del old_log_prob
    return _mean_over_episodes(log_prob * advantage, weight)


def likelihood_ratio_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, weight: Tensor
) -> Tensor:
    """``exp(log_prob - old_log_prob) * advantage``."""
    return _mean_over_episodes(torch.exp(log_prob - old_log_prob) * advantage, weight)


def dice_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, weight: Tensor
) -> Tensor:
    """``(exp(c_t) - exp(c_{t-1})) * advantage_t``, c_t the summed log-ratio up to t.

    With returns-to-go as advantages this telescopes to DiCE's sum of ``exp(c_t) r_t`` less a
    constant.
    """
    log_ratio = (log_prob - old_log_prob) * weight
    log_ratio_sum = torch.cumsum(log_ratio, dim=-1)
    dependency = torch.exp(log_ratio_sum) - torch.exp(log_ratio_sum - log_ratio)
    return _mean_over_episodes(dependency * advantage, weight)


def clipped_surrogate(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    weight: Tensor,
    *,
    clip_range: float,
) -> Tensor:
    """``min(r A, clip(r, 1 - eps, 1 + eps) A)`` with r the ratio (Schulman et al. 2017, eq. 7)."""
    ratio = torch.exp(log_prob - old_log_prob)
    clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    return _mean_over_episodes(torch.minimum(ratio * advantage, clipped * advantage), weight)


def _mean_over_episodes(x: Tensor, weight: Tensor) -> Tensor:
    """Padding counts in the number of steps, not in the sum."""
    return (x * weight).mean()


SURROGATES: dict[str, Surrogate] = {
    "log_prob": log_prob_surrogate,
    "likelihood_ratio": likelihood_ratio_surrogate,
    "dice": dice_surrogate,
}
