"""One trust-region step (Schulman et al. 2015, arXiv 1502.05477, appendix C)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.ops.conjugate_gradient import conjugate_gradient


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


@dataclass(frozen=True)
class TrustRegionStats:
    """What happened in one trust-region step.

    Attributes:
        accepted: whether the line search found a step; if not, the parameters are unchanged.
        reason: ``"accepted"``, or why the last candidate was refused.
        surrogate_before: surrogate objective at the old parameters.
        surrogate_after: surrogate objective at the returned parameters.
        kl: mean KL divergence between the old and the returned policy, in nats.
        num_backtracks: how many candidates were refused.
        gradient_norm: Euclidean norm of the surrogate's gradient.
        residual_norm: Euclidean norm of ``F x - g`` after conjugate gradient.
        max_kl: radius of the trust region, in nats.
    """

    accepted: bool
    reason: str
    surrogate_before: float
    surrogate_after: float
    kl: float
    num_backtracks: int
    gradient_norm: float
    residual_norm: float
    max_kl: float


def annealed_max_kl(first: float, last: float, progress: float) -> float:
    """The radius at ``progress``, 0 where it is ``first`` and 1 where it is ``last``.

    Geometric: every meta-iteration shortens its step by the same factor. A linear schedule towards
    a small radius would stay large for most of a run, and then drop by orders of magnitude.
    """
    return float(first ** (1.0 - progress) * last**progress)


def trust_region_step(
    vector: Tensor,
    gradient: Tensor,
    curvature_product: Callable[[Tensor], Tensor],
    evaluate: Callable[[Tensor], TrustRegionPoint],
    *,
    surrogate: Tensor,
    settings: TrustRegionSettings,
) -> tuple[Tensor, TrustRegionStats]:
    """Maximises ``g^T s`` subject to ``s^T F s / 2 <= max_kl``, then backtracks.

    The full step ``sqrt(2 max_kl / x^T F x) x`` with ``F x = g`` is shortened by
    ``backtrack_ratio`` until the true surrogate improves and the true KL is within ``max_kl``.
    It knows nothing of meta-learning: the objective may be any function of a vector. The host
    waits for the device once before the line search and once per candidate.

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
    gradient_is_finite, step_is_finite, surrogate_before, gradient_norm, residual_norm = (
        torch.stack(
            [
                torch.isfinite(gradient).all(),
                torch.isfinite(full_step).all(),
                surrogate,
                torch.linalg.vector_norm(gradient),
                torch.linalg.vector_norm(residual),
            ]
        ).tolist()
    )

    def outcome(reason: str, point: tuple[float, float], num_backtracks: int) -> TrustRegionStats:
        surrogate_after, kl = point
        return TrustRegionStats(
            accepted=reason == "accepted",
            reason=reason,
            surrogate_before=surrogate_before,
            surrogate_after=surrogate_after,
            kl=kl,
            num_backtracks=num_backtracks,
            gradient_norm=gradient_norm,
            residual_norm=residual_norm,
            max_kl=settings.max_kl,
        )

    unchanged = (surrogate_before, 0.0)
    if not gradient_is_finite:
        return vector, outcome("gradient not finite", unchanged, 0)
    if not step_is_finite:
        return vector, outcome("natural gradient zero or not finite", unchanged, 0)
    for num_backtracks in range(settings.max_backtracks):
        candidate = vector + settings.backtrack_ratio**num_backtracks * full_step
        surrogate_after, kl = torch.stack(evaluate(candidate)).tolist()
        reason = _refusal(surrogate_before, surrogate_after, kl, settings.max_kl)
        if not reason:
            return candidate, outcome("accepted", (surrogate_after, kl), num_backtracks)
    return vector, outcome(reason, unchanged, settings.max_backtracks)


def _refusal(surrogate_before: float, surrogate_after: float, kl: float, max_kl: float) -> str:
    """Why a candidate is refused, or an empty string."""
    if not (math.isfinite(surrogate_after) and math.isfinite(kl)):
        return "surrogate or KL not finite"
    if kl > max_kl:
        return "KL above max_kl"
    if not surrogate_after > surrogate_before:  # also where the one before is nan
        return "surrogate did not improve"
    return ""
