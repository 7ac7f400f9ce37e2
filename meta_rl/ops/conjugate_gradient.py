"""Conjugate gradient for symmetric positive semi-definite systems (Hestenes & Stiefel 1952)."""

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    matrix_vector_product: Callable[[Tensor], Tensor],
    target: Tensor,
    *,
    num_iterations: int,
    tolerance: float = 1e-10,
) -> tuple[Tensor, Tensor]:
    """Solves ``A x = target`` approximately, starting from zero.

    All decisions are made with tensors, so that nothing waits for the device: once the squared
    residual falls below ``tolerance``, or a direction of no positive curvature is met, further
    iterations leave the solution as it is.

    Args:
        matrix_vector_product: v [N] -> A v [N].
        target: [N].
        num_iterations: how many products are spent.
        tolerance: squared residual norm, relative to that of ``target``, that counts as solved.

    Returns:
        The solution x [N] and the residual ``target - A x`` [N] that the recursion carries.
    """
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = target.clone()
    residual_dot = residual @ residual
    threshold = tolerance * residual_dot
    for _ in range(num_iterations):
        product = matrix_vector_product(direction)
        curvature = direction @ product
        active = (residual_dot > threshold) & (curvature > 0.0)
        step = torch.where(active, residual_dot / curvature, 0.0)
        solution = solution + step * direction
        residual = residual - step * product
        next_residual_dot = residual @ residual
        momentum = torch.where(active, next_residual_dot / residual_dot, 0.0)
        direction = torch.where(active, residual + momentum * direction, direction)
        residual_dot = torch.where(active, next_residual_dot, residual_dot)
    return solution, residual
