"""Policies: (observation [..., O], carry) -> (distribution over actions [..., A], carry).

The carry is what a policy remembers from one time step of an episode to the next. A policy is a
module; its parameters are an argument wherever it is called here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from meta_rl.distributions.protocol import Distribution
from meta_rl.models.categorical_policy import CategoricalPolicy
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.types import Carry, Params


def make_policy(
    observation_size: int,
    action_size: int,
    num_choices: Sequence[int],
    *,
    hidden_sizes: Sequence[int],
    activation: str,
    output_scale: float,
    init_std: float,
    min_std: float,
    generator: torch.Generator,
) -> GaussianPolicy | CategoricalPolicy:
    """A policy without memory that fits the actions.

    Args:
        observation_size: O.
        action_size: A.
        num_choices: of each of the A components of a discrete action; empty if actions are
            continuous.
        hidden_sizes: of the hidden layers.
        activation: between layers.
        output_scale: multiplies the initial weights of the last layer.
        init_std: initial standard deviation of continuous actions.
        min_std: its floor.
        generator: of the initial weights.
    """
    if num_choices:
        assert len(num_choices) == action_size
        return CategoricalPolicy(
            observation_size,
            num_choices,
            hidden_sizes=hidden_sizes,
            activation=activation,
            output_scale=output_scale,
            generator=generator,
        )
    return GaussianPolicy(
        observation_size,
        action_size,
        hidden_sizes=hidden_sizes,
        activation=activation,
        output_scale=output_scale,
        init_std=init_std,
        min_std=min_std,
        generator=generator,
    )


def policy_output(
    policy: nn.Module, params: Params, observation: Tensor, carry: Carry
) -> tuple[Distribution, Carry]:
    """The policy's output under ``params`` in place of its own parameters."""
    return functional_call(policy, params, (observation, carry))


def action_distribution(policy: nn.Module, params: Params, observation: Tensor) -> Distribution:
    """``policy_output`` of a policy without memory: the distribution alone."""
    distribution, _ = policy_output(policy, params, observation, ())
    return distribution
