"""The inner loop: gradient descent from the meta-parameters on one task's own data."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor
from torch.func import grad

from meta_rl.types import Params

Batch = TypeVar("Batch")


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
    steps = adaptation_steps(params, loss, batches, step_sizes=step_sizes, first_order=first_order)
    return steps[-1] if steps else params


def adaptation_steps(
    params: Params,
    loss: Callable[[Params, Batch], Tensor],
    batches: Sequence[Batch],
    *,
    step_sizes: Sequence[float],
    first_order: bool,
) -> list[Params]:
    """As ``adapt``, but returns the parameters after every step, one entry per batch."""
    steps = []
    for batch, step_size in zip(batches, step_sizes, strict=True):
        gradient = grad(loss)(params, batch)
        if first_order:
            gradient = {name: value.detach() for name, value in gradient.items()}
        params = {name: value - step_size * gradient[name] for name, value in params.items()}
        steps.append(params)
    return steps
