"""From episodes to the batch that policy gradients are taken on."""

import torch

from meta_rl.models.linear_baseline import fit_predict
from meta_rl.ops.masked import standardise
from meta_rl.ops.returns import discounted_sums, generalised_advantages
from meta_rl.types import PolicyGradientBatch, RolloutBatch


def policy_gradient_batch(
    rollouts: RolloutBatch,
    *,
    discount_factor: float,
    gae_lambda: float,
    standardise_advantages: bool = True,
) -> PolicyGradientBatch:
    """Baseline, GAE and standardisation, per task and stage (MAML paper, appendix A.2).

    The value beyond the horizon is zero: episodes are of finite length, and the baseline, which
    sees the time, is fitted to returns that end there. An episode that a time limit of the
    environment cut earlier bootstraps from the baseline at its final observation.

    Args:
        rollouts: episodes of one stage.
        discount_factor: gamma.
        gae_lambda: lambda.
        standardise_advantages: whether they get mean 0 and standard deviation 1 in each task.

    Returns:
        [M, E, T, ...] tensors on the rollouts' device.
    """
    weight = rollouts.valid.to(rollouts.reward.dtype)
    discount = discount_factor * (1.0 - rollouts.terminated.to(weight.dtype))
    return_to_go = discounted_sums(rollouts.reward, discount)
    value = fit_predict(rollouts.observation, return_to_go, weight)
    advantage = generalised_advantages(
        rollouts.reward,
        value,
        torch.zeros_like(value[..., 0]),
        discount,
        weight,
        gae_lambda=gae_lambda,
    )
    return PolicyGradientBatch(
        observation=rollouts.observation,
        action=rollouts.action,
        old_log_prob=rollouts.log_prob,
        advantage=standardise(advantage, weight) if standardise_advantages else advantage,
        weight=weight,
    )
