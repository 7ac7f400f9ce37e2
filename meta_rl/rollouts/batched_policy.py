"""Many policies on their own observations, as one plain function."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from meta_rl.models.gaussian_policy import action_distribution
from meta_rl.ops.params import repeat_per_task
from meta_rl.ops.tracing import traced, traced_in_two
from meta_rl.types import ActionDistribution, Params

BatchedPolicy = Callable[[Params, Tensor], ActionDistribution]


@lru_cache(maxsize=16)
def batched_policy(
    policy: nn.Module, shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> BatchedPolicy:
    """Traces ``vmap`` over tasks once, since a rollout calls it at every time step.

    A small policy costs a third of what it does through vmap and the module.

    Args:
        policy: maps observations to an ``ActionDistribution``, without control flow that
            depends on values.
        shape: of the observations, [M, E, O].
        dtype: of the observations.
        device: of the observations and parameters.

    Returns:
        (parameters with a leading task axis, observations) -> distributions [M, E, A].
    """
    params = repeat_per_task(dict(policy.named_parameters()), shape[0])
    with torch.no_grad():
        observation = torch.zeros(shape, dtype=dtype, device=device)
        return traced(_per_task(policy), params, observation)


@lru_cache(maxsize=16)
def batched_policy_of_params(
    policy: nn.Module, shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> Callable[[Params], Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]]:
    """As ``batched_policy``, for parameters that stay while observations come and go.

    Returns:
        parameters with a leading task axis -> (observations -> mean, log_std and std, all
        [M, E, A]). What observations have no influence on is computed once.
    """
    per_task = _per_task(policy)

    def acting(params: Params) -> Callable[[Tensor], Any]:
        def act(observation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, log_std = per_task(params, observation)
            return mean, log_std, log_std.exp()

        return act

    params = repeat_per_task(dict(policy.named_parameters()), shape[0])
    with torch.no_grad():
        observation = torch.zeros(shape, dtype=dtype, device=device)
        return traced_in_two(acting, (params,), observation)


def _per_task(policy: nn.Module) -> BatchedPolicy:
    return vmap(lambda params, observation: action_distribution(policy, params, observation))
