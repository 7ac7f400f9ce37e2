"""Adam (Kingma & Ba 2015, algorithm 1) as a pure function."""

from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.types import Params


class AdamMoments(NamedTuple):
    """What Adam remembers: a pytree.

    Attributes:
        num_steps: [], how many gradients it has seen.
        first: decaying averages of the gradients.
        second: decaying averages of their squares.
    """

    num_steps: Tensor
    first: Params
    second: Params


def initial_moments(params: Params) -> AdamMoments:
    """The memory before the first gradient."""
    zeros = {name: torch.zeros_like(value) for name, value in params.items()}
    like = next(iter(params.values()))
    return AdamMoments(torch.zeros((), dtype=like.dtype, device=like.device), zeros, zeros)


def adam_decrement(
    gradient: Params,
    moments: AdamMoments,
    *,
    step_size: float | Tensor,
    momentum_decay: float,
    second_moment_decay: float,
    epsilon: float,
) -> tuple[Params, AdamMoments]:
    """``alpha m^ / (sqrt(v^) + epsilon)``, to be subtracted from the parameters.

    Args:
        gradient: at the parameters.
        moments: the memory.
        step_size: alpha.
        momentum_decay: beta1; 0 leaves momentum out.
        second_moment_decay: beta2.
        epsilon: what keeps the quotient finite.

    Returns:
        The decrement, and the memory with this gradient in it.
    """
    beta1, beta2 = momentum_decay, second_moment_decay
    num_steps = moments.num_steps + 1.0
    correction1, correction2 = 1.0 - beta1**num_steps, 1.0 - beta2**num_steps
    first = {
        name: beta1 * moments.first[name] + (1.0 - beta1) * value if beta1 else value
        for name, value in gradient.items()
    }
    second = {
        name: beta2 * moments.second[name] + (1.0 - beta2) * value.square()
        for name, value in gradient.items()
    }
    decrement = {
        name: step_size * (value / correction1) / ((second[name] / correction2).sqrt() + epsilon)
        for name, value in first.items()
    }
    return decrement, AdamMoments(num_steps, first, second)
