"""Adam (Kingma & Ba 2015, algorithm 1) as a pure function."""

from typing import NamedTuple

import torch
from torch import Tensor


class AdamMoments(NamedTuple):
    """What Adam remembers: a pytree.

    Attributes:
        num_steps: [], how many gradients it has seen.
        first: decaying averages of the gradients, [N].
        second: decaying averages of their squares, [N].
    """

    num_steps: Tensor
    first: Tensor
    second: Tensor


def initial_moments(vector: Tensor) -> AdamMoments:
    """The memory before the first gradient, for parameters [N]."""
    zeros = torch.zeros_like(vector)
    return AdamMoments(zeros.new_zeros(()), zeros, zeros)


def adam_decrement(
    gradient: Tensor,
    moments: AdamMoments,
    *,
    step_size: float | Tensor,
    momentum_decay: float,
    second_moment_decay: float,
    epsilon: float,
) -> tuple[Tensor, AdamMoments]:
    """``alpha m^ / (sqrt(v^) + epsilon)``, to be subtracted from the parameters.

    All parameters are one vector: a dozen small operations, not a dozen for each of them.

    Args:
        gradient: at the parameters, [N].
        moments: the memory.
        step_size: alpha.
        momentum_decay: beta1; 0 leaves momentum out.
        second_moment_decay: beta2.
        epsilon: what keeps the quotient finite.

    Returns:
        The decrement [N], and the memory with this gradient in it.
    """
    beta1, beta2 = momentum_decay, second_moment_decay
    num_steps = moments.num_steps + 1.0
    correction1, correction2 = 1.0 - beta1**num_steps, 1.0 - beta2**num_steps
    first = beta1 * moments.first + (1.0 - beta1) * gradient if beta1 else gradient
    second = beta2 * moments.second + (1.0 - beta2) * gradient.square()
    decrement = step_size * (first / correction1) / ((second / correction2).sqrt() + epsilon)
    return decrement, AdamMoments(num_steps, first, second)
