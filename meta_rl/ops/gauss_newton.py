"""Curvature of a divergence between outputs, from first derivatives of the outputs alone."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import vjp
from torch.utils._pytree import tree_map

Outputs = TypeVar("Outputs")


def gauss_newton_product(
    outputs: Callable[[Tensor], Outputs],
    vector: Tensor,
    output_curvature: Callable[[Outputs, Outputs], Outputs],
) -> Callable[[Tensor], Tensor]:
    """Returns ``v -> J^T F J v``, J the Jacobian of ``outputs`` at ``vector``.

    For a divergence that is zero and stationary at equal outputs, such as the KL, this is its
    exact Hessian at ``vector``: the terms with second derivatives of ``outputs`` are multiplied
    by the divergence's gradient, which is zero there (Martens 2020, arXiv 1412.1193, section 8).

    Both graphs are built once and kept, since conjugate gradient asks for many products at one
    point. ``J v`` is had in reverse mode: ``u -> J^T u`` is linear, so the pull-back of v through
    it is ``J v`` for any u.

    Args:
        outputs: vector [N] -> a pytree of tensors of any shape; may itself contain gradients.
        vector: [N], the point.
        output_curvature: (outputs, tangent) -> F tangent.

    Returns:
        The product, [N] -> [N].
    """
    # [:2] for the type checker: there is a third entry only with has_aux.
    primal, pull_back = vjp(outputs, vector)[:2]
    cotangent = tree_map(torch.zeros_like, primal)
    push_forward = vjp(lambda u: pull_back(u)[0], cotangent)[1]

    def product(v: Tensor) -> Tensor:
        (tangent,) = push_forward(v)
        return pull_back(output_curvature(primal, tangent))[0]

    return product
