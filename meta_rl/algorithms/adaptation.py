"""The inner loop: gradient descent from the meta-parameters on one task's own data."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor
from torch.func import grad

from meta_rl.ops.adam import adam_decrement, initial_moments
from meta_rl.ops.params import ravel, unravel
from meta_rl.types import Params

Batch = TypeVar("Batch")
InnerRule = Callable[[Params, Any, float], tuple[Params, Any]]
"""(gradient, memory, step size) -> (what is subtracted from the parameters, memory).

A memory of None is that of a rule that has seen no gradient.
"""


def gradient_descent(gradient: Params, memory: None, step_size: float) -> tuple[Params, None]:
    """``alpha g``: MAML's inner rule."""
    return {name: step_size * value for name, value in gradient.items()}, memory


def adam_without_momentum(second_moment_decay: float, epsilon: float) -> InnerRule:
    """Adam with beta1 = 0, the inner rule of Reptile's image experiments."""

    def rule(gradient: Params, memory: Any, step_size: float) -> tuple[Params, Any]:
        vector = ravel(gradient)
        decrement, moments = adam_decrement(
            vector,
            initial_moments(vector) if memory is None else memory,
            step_size=step_size,
            momentum_decay=0.0,
            second_moment_decay=second_moment_decay,
            epsilon=epsilon,
        )
        return unravel(decrement, gradient), moments

    return rule


def adapt(
    params: Params,
    loss: Callable[[Params, Batch], Tensor],
    batches: Sequence[Batch],
    *,
    step_sizes: Sequence[float],
    first_order: bool,
) -> Params:
    """``theta <- theta - alpha grad L(theta)``, once per batch (Finn et al. 2017, eq. 1).

    Written for one task; the caller vmaps. The result is differentiable with respect to
    ``params``, through the gradients themselves unless ``first_order``.

    Args:
        params: where adaptation starts.
        loss: (params, batch) -> [], to be minimised.
        batches: data of each step. Reinforcement learning gives new episodes at each step;
            supervised learning may repeat one support set.
        step_sizes: one per batch.
        first_order: treat each gradient as a constant when the result is differentiated.

    Returns:
        The adapted parameters.
    """
    steps, _ = adaptation_steps(
        params, loss, batches, step_sizes=step_sizes, first_order=first_order
    )
    return steps[-1] if steps else params


def adaptation_steps(
    params: Params,
    loss: Callable[[Params, Batch], Tensor],
    batches: Sequence[Batch],
    *,
    step_sizes: Sequence[float],
    first_order: bool,
    rule: InnerRule = gradient_descent,
    memory: Any = None,
) -> tuple[list[Params], Any]:
    """As ``adapt``, by any rule, from that rule's memory on.

    Returns:
        The parameters after every step, one entry per batch, and the rule's memory at the end.
    """
    steps = []
    for batch, step_size in zip(batches, step_sizes, strict=True):
        gradient = grad(loss)(params, batch)
        if first_order:
            gradient = {name: value.detach() for name, value in gradient.items()}
        decrement, memory = rule(gradient, memory, step_size)
        params = {name: value - decrement[name] for name, value in params.items()}
        steps.append(params)
    return steps, memory
