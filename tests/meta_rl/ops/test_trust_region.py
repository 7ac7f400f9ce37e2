"""One trust-region step on problems solved by hand."""

import math

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from meta_rl.ops.trust_region import (
    TrustRegionPoint,
    TrustRegionSettings,
    annealed_max_kl,
    trust_region_step,
)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


SETTINGS = {
    "max_kl": 0.01,
    "num_cg_iterations": 10,
    "damping": 0.0,
    "backtrack_ratio": 0.5,
    "max_backtracks": 4,
}
VECTOR = f64([10.0, -20.0])
GRADIENT = f64([3.0, 4.0])
FISHER = f64([1.0, 4.0])
# F x = g gives x = (3, 1) and x^T F x = 9 + 4, so the full step is sqrt(2 * .01 / 13) (3, 1).
FULL_STEP = f64([0.117669681, 0.039223227])


def points(*surrogates_and_kls):
    """An ``evaluate`` that returns these, and the list of candidates that it was asked about."""
    remaining = list(surrogates_and_kls)
    candidates = []

    def evaluate(candidate):
        candidates.append(candidate)
        surrogate, kl = remaining.pop(0)
        return TrustRegionPoint(f64(surrogate), f64(kl))

    return evaluate, candidates


def step(evaluate, gradient=GRADIENT, fisher=FISHER, surrogate=1.0, **settings):
    return trust_region_step(
        VECTOR,
        gradient,
        lambda v: fisher * v,
        evaluate,
        surrogate=f64(surrogate),
        settings=TrustRegionSettings(**{**SETTINGS, **settings}),
    )


def test_the_full_step_by_hand():
    evaluate, candidates = points((1.5, 0.0099))
    new, stats = step(evaluate)
    assert new is candidates[0]
    assert_close(new - VECTOR, FULL_STEP, rtol=0, atol=1e-9)
    # It reaches the boundary of the region, and the gain that the linear model predicts.
    assert_close(((new - VECTOR) ** 2 * FISHER).sum() / 2, f64(0.01))
    assert_close(GRADIENT @ (new - VECTOR), f64(0.509901951), rtol=0, atol=1e-9)
    assert stats.accepted
    assert stats.reason == "accepted"
    assert (stats.surrogate_before, stats.surrogate_after) == (1.0, 1.5)
    assert stats.kl == 0.0099
    assert stats.num_backtracks == 0
    assert stats.gradient_norm == pytest.approx(5.0, rel=1e-12)
    assert stats.residual_norm == pytest.approx(0.0, abs=1e-9)


def test_damping_is_added_to_the_curvature():
    evaluate, _ = points((1.5, 0.001))
    new, _ = step(evaluate, damping=1.0)
    # F + 1 = diag(2, 5): x = (1.5, .8), x^T (F + 1) x = 4.5 + 3.2
    assert_close(new - VECTOR, math.sqrt(0.02 / 7.7) * f64([1.5, 0.8]))


def test_unsolved_systems_still_reach_the_boundary():
    evaluate, _ = points((1.5, 0.001))
    new, stats = step(evaluate, num_cg_iterations=1)
    # x along g: F g = (3, 16), g.g / g^T F g = 25 / 73, residual g - 25/73 (3, 16).
    assert_close(new - VECTOR, math.sqrt(0.02 / 73) * GRADIENT)
    assert stats.residual_norm == pytest.approx(math.hypot(3 - 75 / 73, 4 - 400 / 73), rel=1e-12)


def test_backtracks_until_kl_and_surrogate_are_right():
    evaluate, candidates = points((2.0, 0.0101), (0.9, 0.005), (1.0, 0.005), (1.01, 0.01))
    new, stats = step(evaluate)
    assert_close(
        torch.stack(candidates) - VECTOR,
        FULL_STEP * f64([[1], [0.5], [0.25], [0.125]]),
        rtol=0,
        atol=1e-9,
    )
    assert new is candidates[-1]
    assert stats.accepted
    assert stats.num_backtracks == 3
    assert (stats.surrogate_after, stats.kl) == (1.01, 0.01)


@pytest.mark.parametrize(
    ("surrogate", "kl", "reason"),
    [
        (2.0, 0.0101, "KL above max_kl"),
        (2.0, math.nan, "surrogate or KL not finite"),
        (math.inf, 0.005, "surrogate or KL not finite"),
        (math.nan, 0.005, "surrogate or KL not finite"),
        (0.9, 0.005, "surrogate did not improve"),
        (1.0, 0.0, "surrogate did not improve"),
    ],
)
def test_a_failed_line_search_returns_the_very_same_tensor(surrogate, kl, reason):
    evaluate, candidates = points(*[(surrogate, kl)] * 4)
    before = VECTOR.clone()
    new, stats = step(evaluate)
    assert new is VECTOR
    assert torch.equal(VECTOR, before)
    assert len(candidates) == 4
    assert not stats.accepted
    assert stats.reason == reason
    assert stats.num_backtracks == 4
    assert (stats.surrogate_before, stats.surrogate_after, stats.kl) == (1.0, 1.0, 0.0)


def test_nothing_improves_on_a_surrogate_that_is_not_a_number():
    evaluate, _ = points(*[(2.0, 0.001)] * 4)
    new, stats = step(evaluate, surrogate=math.nan)
    assert new is VECTOR
    assert stats.reason == "surrogate did not improve"


def test_the_reason_is_that_of_the_last_candidate():
    evaluate, _ = points((2.0, 1.0), (0.5, 0.001))
    _, stats = step(evaluate, max_backtracks=2)
    assert stats.reason == "surrogate did not improve"


@pytest.mark.parametrize(
    ("gradient", "fisher", "reason"),
    [
        ([math.nan, 4.0], FISHER, "gradient not finite"),
        ([math.inf, 4.0], FISHER, "gradient not finite"),
        ([0.0, 0.0], FISHER, "natural gradient zero or not finite"),
        ([3.0, 4.0], f64([0.0, 0.0]), "natural gradient zero or not finite"),
        ([3.0, 4.0], f64([-1.0, -4.0]), "natural gradient zero or not finite"),
        ([3.0, 4.0], f64([math.nan, 1.0]), "natural gradient zero or not finite"),
    ],
)
def test_without_a_direction_no_candidate_is_tried(gradient, fisher, reason):
    evaluate, candidates = points()
    new, stats = step(evaluate, gradient=f64(gradient), fisher=fisher)
    assert new is VECTOR
    assert not candidates
    assert not stats.accepted
    assert stats.reason == reason
    assert stats.num_backtracks == 0


def test_maximises_a_concave_function_by_steps_within_the_region():
    # J = -|v - c|^2 / 2 with KL(v, old) = |v - old|^2 / 2, from 5 away with radius .5: a step of
    # at most 1 towards c each time. max_kl is a little above 1/2 so that rounding does not matter.
    centre = f64([3.0, -4.0])
    vector = f64([0.0, 0.0])
    for distance in (4, 3, 2, 1):

        def evaluate(v, old=vector):
            return TrustRegionPoint(-((v - centre) ** 2).sum() / 2, ((v - old) ** 2).sum() / 2)

        vector, stats = trust_region_step(
            vector,
            centre - vector,
            lambda v: v * (1 + 1e-9),
            evaluate,
            surrogate=evaluate(vector).surrogate,
            settings=TrustRegionSettings(**{**SETTINGS, "max_kl": 0.5}),
        )
        assert stats.accepted
        assert stats.surrogate_after == pytest.approx(-(distance**2) / 2, rel=1e-6)
        assert stats.kl == pytest.approx(0.5, rel=1e-6)
    assert_close(vector, centre * 0.8, rtol=1e-6, atol=0)


def test_annealing_divides_the_radius_evenly():
    # From .08 to .005 is four halvings.
    radii = [annealed_max_kl(0.08, 0.005, n / 4) for n in range(5)]
    assert radii == pytest.approx([0.08, 0.04, 0.02, 0.01, 0.005], rel=1e-12)


class ScalarReads(TorchDispatchMode):
    """Counts ``float(tensor)``, ``bool(tensor)`` and the like: on a GPU, each would wait for it."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_the_host_reads_once_before_the_line_search_and_once_per_candidate(monkeypatch):
    reads = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: reads.append(x.shape) or tolist(x))
    evaluate, candidates = points((2.0, 1.0), (0.5, 0.001), (1.5, 0.001))
    with ScalarReads() as scalar_reads:
        _, stats = step(evaluate)
    assert stats.accepted
    assert len(candidates) == 3
    assert scalar_reads.count == 0
    assert len(reads) == 1 + 3
