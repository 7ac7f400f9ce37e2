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
the mean over real steps. TRPO's surrogate is ``likelihood_ratio_surrogate`` too.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from meta_rl.ops.masked import weighted_mean

Surrogate = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def log_prob_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, weight: Tensor
) -> Tensor:
    """Mean of ``log_prob * advantage`` over real steps; ``old_log_prob`` plays no part."""
    del old_log_prob
    return weighted_mean(log_prob * advantage, weight)


def likelihood_ratio_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, weight: Tensor
) -> Tensor:
    """Mean of ``exp(log_prob - old_log_prob) * advantage`` over real steps."""
    return weighted_mean(torch.exp(log_prob - old_log_prob) * advantage, weight)


def dice_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, weight: Tensor
) -> Tensor:
    """Mean of ``(exp(c_t) - exp(c_{t-1})) * advantage_t``, c_t the summed log-ratio up to t.

    With returns-to-go as advantages this telescopes to DiCE's sum of ``exp(c_t) r_t`` less a
    constant.
    """
    log_ratio = (log_prob - old_log_prob) * weight
    log_ratio_sum = torch.cumsum(log_ratio, dim=-1)
    dependency = torch.exp(log_ratio_sum) - torch.exp(log_ratio_sum - log_ratio)
    return weighted_mean(dependency * advantage, weight)


SURROGATES: dict[str, Surrogate] = {
    "log_prob": log_prob_surrogate,
    "likelihood_ratio": likelihood_ratio_surrogate,
    "dice": dice_surrogate,
}
