"""One trust-region step (Schulman et al. 2015, arXiv 1502.05477, appendix C)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.ops.conjugate_gradient import conjugate_gradient
from meta_rl.types import MetaUpdateStats


class TrustRegionPoint(NamedTuple):
    """Objective (to maximise) and constraint (a divergence from the old point), both []."""

    surrogate: Tensor
    kl: Tensor


@dataclass(frozen=True)
class TrustRegionSettings:
    """Attributes of the step that do not depend on the problem.

    Attributes:
        max_kl: radius of the trust region, in nats.
        num_cg_iterations: curvature products spent on solving ``F x = g``.
        damping: multiple of the identity added to F.
        backtrack_ratio: in (0, 1), by which each further candidate is shorter.
        max_backtracks: how many candidates are tried at most.
    """

    max_kl: float
    num_cg_iterations: int
    damping: float
    backtrack_ratio: float
    max_backtracks: int


def trust_region_step(
    vector: Tensor,
    gradient: Tensor,
    curvature_product: Callable[[Tensor], Tensor],
    evaluate: Callable[[Tensor], TrustRegionPoint],
    *,
    surrogate: Tensor,
    settings: TrustRegionSettings,
) -> tuple[Tensor, MetaUpdateStats]:
    """Maximises ``g^T s`` subject to ``s^T F s / 2 <= max_kl``, then backtracks.

    The full step ``sqrt(2 max_kl / x^T F x) x`` with ``F x = g`` is shortened by
    ``backtrack_ratio`` until the true surrogate improves and the true KL is within ``max_kl``.
    It knows nothing of meta-learning: the objective may be any function of a vector.

    Args:
        vector: [N], the old parameters.
        gradient: [N], of the surrogate at ``vector``.
        curvature_product: v [N] -> F v [N], F the Hessian of the KL at ``vector``.
        evaluate: [N] -> surrogate and KL at a candidate.
        surrogate: [], the surrogate at ``vector``.
        settings: radius, conjugate gradient and line search.

    Returns:
        The new parameters and what happened. Where no candidate is accepted, the very tensor
        ``vector``, so that the parameters stay bit-identical.
    """

    def damped_product(v: Tensor) -> Tensor:
        return curvature_product(v) + settings.damping * v

    direction, residual = conjugate_gradient(
        damped_product, gradient, num_iterations=settings.num_cg_iterations
    )
    # x^T F x without another product: F x = g - residual.
    squared_length = direction @ (gradient - residual)
    full_step = torch.sqrt(2.0 * settings.max_kl / squared_length) * direction
    norms = {
        "gradient_norm": float(torch.linalg.vector_norm(gradient)),
        "residual_norm": float(torch.linalg.vector_norm(residual)),
    }

    reason = _direction_fault(gradient, full_step)
    num_candidates = 0 if reason else settings.max_backtracks
    for num_backtracks in range(num_candidates):
        candidate = vector + settings.backtrack_ratio**num_backtracks * full_step
        point = evaluate(candidate)
        reason = _refusal(point, surrogate, settings.max_kl)
        if not reason:
            return candidate, MetaUpdateStats(
                accepted=True,
                reason="accepted",
                surrogate_before=float(surrogate),
                surrogate_after=float(point.surrogate),
                kl=float(point.kl),
                num_backtracks=num_backtracks,
                **norms,
            )
    return vector, MetaUpdateStats(
        accepted=False,
        reason=reason,
        surrogate_before=float(surrogate),
        surrogate_after=float(surrogate),
        kl=0.0,
        num_backtracks=num_candidates,
        **norms,
    )


def _direction_fault(gradient: Tensor, full_step: Tensor) -> str:
    """Why no candidate can be made, or an empty string."""
    if not bool(torch.isfinite(gradient).all()):
        return "gradient not finite"
    if not bool(torch.isfinite(full_step).all()):
        return "natural gradient zero or not finite"
    return ""


def _refusal(point: TrustRegionPoint, surrogate: Tensor, max_kl: float) -> str:
    """Why a candidate is refused, or an empty string."""
    if not bool(torch.isfinite(point.surrogate) & torch.isfinite(point.kl)):
        return "surrogate or KL not finite"
    if not bool(point.kl <= max_kl):
        return "KL above max_kl"
    if not bool(point.surrogate > surrogate):
        return "surrogate did not improve"
    return ""
