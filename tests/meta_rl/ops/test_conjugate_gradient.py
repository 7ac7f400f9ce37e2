"""Conjugate gradient against systems solved by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from meta_rl.ops.conjugate_gradient import conjugate_gradient


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def solve(matrix, target, **options):
    return conjugate_gradient(lambda v: matrix @ v, target, **options)


def test_two_by_two_in_two_iterations():
    # 2 * 4 - 2 = 6 and 2 * 4 - 5 = 3
    solution, residual = solve(f64([[2, 2], [2, 5]]), f64([6, 3]), num_iterations=2)
    assert_close(solution, f64([4, -1]))
    assert_close(residual, f64([0, 0]), rtol=0, atol=1e-12)


def test_the_first_iteration_is_steepest_descent():
    # b.b / b.A b = 45 / 189 times b, with A b = (18, 27); the residual is b less that times A b.
    solution, residual = solve(f64([[2, 2], [2, 5]]), f64([6, 3]), num_iterations=1)
    assert_close(solution, 45 / 189 * f64([6, 3]))
    assert_close(residual, f64([6, 3]) - 45 / 189 * f64([18, 27]))


def test_no_iteration_gives_zero():
    solution, residual = solve(torch.eye(2), torch.ones(2), num_iterations=0)
    assert_close(solution, torch.zeros(2))
    assert_close(residual, torch.ones(2))


@given(seed=st.integers(0, 2**31), size=st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_positive_definite_systems(seed, size):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(size, size, dtype=torch.float64, generator=generator)
    matrix = factor @ factor.T + torch.eye(size, dtype=torch.float64)
    expected = torch.randn(size, dtype=torch.float64, generator=generator)
    solution, residual = solve(matrix, matrix @ expected, num_iterations=3 * size, tolerance=1e-24)
    assert_close(solution, expected, rtol=1e-8, atol=1e-8)
    assert_close(residual, matrix @ (expected - solution), rtol=0, atol=1e-8)


@given(seed=st.integers(0, 2**31), rank=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_rank_deficient_but_consistent_systems(seed, rank):
    # Only A x is determined, not x.
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(5, rank, dtype=torch.float64, generator=generator)
    scale = torch.linalg.qr(factor).Q * torch.arange(1, rank + 1)
    matrix = scale @ scale.T
    target = matrix @ torch.randn(5, dtype=torch.float64, generator=generator)
    solution, _ = solve(matrix, target, num_iterations=20, tolerance=1e-24)
    assert_close(matrix @ solution, target, rtol=1e-8, atol=1e-8)


def test_iterations_beyond_convergence_change_nothing():
    matrix, target = f64([[2, 2], [2, 5]]), f64([6, 3])
    exact = solve(matrix, target, num_iterations=2)
    for actual, expected in zip(solve(matrix, target, num_iterations=50), exact, strict=True):
        assert torch.equal(actual, expected)


def test_tolerance_is_relative_to_the_target():
    # Residuals squared after 0, 1, 2 iterations, relative to the target's: 1, about .1, 0.
    matrix = f64([[2, 2], [2, 5]])
    for scale in (1e-6, 1.0, 1e6):
        target = scale * f64([6, 3])
        one, residual = solve(matrix, target, num_iterations=1)
        relative = float(residual @ residual / (target @ target))
        coarse, _ = solve(matrix, target, num_iterations=9, tolerance=1.01 * relative)
        fine, _ = solve(matrix, target, num_iterations=9, tolerance=0.99 * relative)
        assert torch.equal(coarse, one)
        assert_close(fine, scale * f64([4, -1]))


@pytest.mark.parametrize("matrix", [[[0, 0], [0, 0]], [[-1, 0], [0, -1]]])
def test_without_positive_curvature_it_stays_at_zero(matrix):
    solution, residual = solve(f64(matrix), f64([1, 2]), num_iterations=5)
    assert_close(solution, f64([0, 0]))
    assert_close(residual, f64([1, 2]))


def test_zero_target():
    solution, residual = solve(f64([[2, 2], [2, 5]]), f64([0, 0]), num_iterations=5)
    assert (solution == 0).all()
    assert (residual == 0).all()


def test_it_stops_for_good_at_the_first_direction_of_no_positive_curvature():
    # Step 1: b.b / b.A b = 2 / 2, x = (1, 1), residual (-2, 2), momentum 8 / 2, next direction
    # (-2, 2) + 4 (1, 1) = (2, 6) with curvature 3 * 4 - 36. The residual itself has 12 - 4 > 0.
    for num_iterations in (1, 2, 5):
        solution, residual = solve(
            f64([[3, 0], [0, -1]]), f64([1, 1]), num_iterations=num_iterations
        )
        assert_close(solution, f64([1, 1]))
        assert_close(residual, f64([-2, 2]))
