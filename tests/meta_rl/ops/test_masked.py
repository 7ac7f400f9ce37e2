"""Statistics that count real steps only."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import vmap
from torch.testing import assert_close

from meta_rl.ops.masked import standardise, weighted_mean


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def test_weighted_mean():
    # (1 + 2 + 4) / 3
    assert_close(
        weighted_mean(f64([[1, 2], [4, 1e9]]), f64([[1, 1], [1, 0]])),
        f64(7 / 3),
        rtol=1e-15,
        atol=0,
    )


def test_no_real_entry_gives_zero():
    assert weighted_mean(f64([[1, 2]]), f64([[0, 0]])) == 0
    assert (standardise(f64([[1, 2]]), f64([[0, 0]])) == 0).all()


def test_standardise():
    # Mean 3, variance (4 + 0 + 4) / 3.
    result = standardise(f64([[1, 3], [5, 1e9]]), f64([[1, 1], [1, 0]]))
    assert_close(result, f64([[-(1.5**0.5), 0], [1.5**0.5, 0]]), rtol=1e-7, atol=0)


def test_the_floor_is_added_to_the_standard_deviation():
    # Standard deviation 1; a floor added to the variance would give 1 / sqrt(1.5).
    result = standardise(f64([[1, -1]]), f64([[1, 1]]), min_std=0.5)
    assert_close(result, f64([[1 / 1.5, -1 / 1.5]]))


@pytest.mark.parametrize("constant", [0.0, 0.1, -1.0, 100.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_input_comes_back_as_zero(constant, dtype):
    x = torch.full((7, 31), constant, dtype=dtype)
    result = standardise(x, torch.ones_like(x))
    assert result.dtype == dtype
    assert_close(result, torch.zeros_like(x), rtol=0, atol=1e-4)


@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e2, 1e2),
)
@settings(deadline=None, max_examples=25)
def test_zero_mean_unit_std_per_task_whatever_scale_and_shift(seed, scale, shift):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    weight = (torch.arange(4) < f64([[[4], [1], [3]], [[2], [2], [0]]])).double()
    result = standardise(shift + scale * x, weight)
    for task in range(2):
        real = result[task][weight[task] == 1]
        assert_close(real.mean(), f64(0), rtol=0, atol=1e-9)
        assert_close(real.std(correction=0), f64(1), rtol=1e-4, atol=0)
        assert (result[task][weight[task] == 0] == 0).all()
    assert_close(result, standardise(x, weight), rtol=1e-4, atol=1e-9)
    assert_close(vmap(standardise)(x, weight), standardise(x, weight), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [1e-2, -3.0, 1e7])
def test_what_varies_by_rounding_alone_comes_back_as_zero(dtype, constant):
    x = torch.full((7, 31), constant, dtype=dtype)
    x[::2] *= 1.0 + torch.finfo(dtype).eps
    assert (standardise(x, torch.ones_like(x)) == 0).all()
    x[0, 0] *= 1.001
    assert standardise(x, torch.ones_like(x)).std() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_what_is_not_finite_is_not_hidden(bad):
    x = torch.ones(2, 3, 4)
    x[1, 2, 3] = bad
    standardised = standardise(x, torch.ones_like(x))
    assert torch.equal(standardised[0], torch.zeros(3, 4))
    assert not torch.isfinite(standardised[1]).all()
