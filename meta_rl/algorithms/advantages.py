"""From episodes to the batch that policy gradients are taken on."""

import torch
from torch import Tensor

from meta_rl.models.linear_baseline import baseline_value
from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.ops.masked import is_rounding, rounding_of, standardise, weighted_std
from meta_rl.ops.returns import discounted_sums, generalised_advantages
from meta_rl.types import PolicyGradientBatch, RolloutBatch


def policy_gradient_batch(
    rollouts: RolloutBatch,
    *,
    discount_factor: float,
    gae_lambda: float,
    standardise_advantages: bool = True,
    normaliser: ObservationNormaliser | None = None,
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
        normaliser: what policy and baseline see observations through.

    Returns:
        [M, E, T, ...] tensors on the rollouts' device.
    """
    observation = rollouts.observation
    if normaliser is not None:
        observation = normaliser(observation)
    weight = rollouts.valid.to(rollouts.reward.dtype)
    discount = discount_factor * (1.0 - rollouts.terminated.to(weight.dtype))
    return_to_go = discounted_sums(rollouts.reward, discount)
    value = baseline_value(observation, return_to_go, weight)
    advantage = generalised_advantages(
        rollouts.reward,
        value,
        torch.zeros_like(value[..., 0]),
        discount,
        weight,
        gae_lambda=gae_lambda,
    )
    # Zero before standardising: a trust region makes a step of full length of any gradient.
    uninformative = _is_uninformative(advantage, return_to_go, weight)
    advantage = torch.where(uninformative, 0.0, advantage)
    return PolicyGradientBatch(
        observation=observation,
        action=rollouts.action,
        old_log_prob=rollouts.log_prob,
        advantage=standardise(advantage, weight) if standardise_advantages else advantage,
        weight=weight,
    )


def _is_uninformative(advantage: Tensor, return_to_go: Tensor, weight: Tensor) -> Tensor:
    """Whether a task's advantages, or its returns at equal times, are nothing but rounding.

    What is not finite is no rounding: it stays, and is found by the checks that follow.

    Args:
        advantage: [M, E, T].
        return_to_go: [M, E, T].
        weight: [M, E, T].

    Returns:
        Bool [M, 1, 1].
    """
    count = weight.sum(1, keepdim=True).clamp(min=1.0)
    mean = ((return_to_go * weight).sum(1, keepdim=True, dtype=torch.float64) / count).to(
        return_to_go.dtype
    )
    # Advantages are sums over an episode, in which roundings add up as a random walk does.
    rounding = weight.shape[-1] ** 0.5 * rounding_of(return_to_go, weight)
    spread = torch.minimum(
        weighted_std(advantage, weight), weighted_std(return_to_go - mean, weight)
    )
    return is_rounding(spread, rounding)
