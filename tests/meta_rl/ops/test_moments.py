"""Running moments: known answers, one value for every way of sharing out, to the bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from meta_rl.ops.moments import (
    Moments,
    concatenated_moments,
    joined_moments,
    no_moments,
    sum_by_halves,
    task_moments,
)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def stacked(*moments):
    return Moments(*map(torch.stack, zip(*moments, strict=True)))


def assert_same_bits(one, other):
    for mine, theirs in zip(one, other, strict=True):
        assert mine.dtype == torch.float64
        assert torch.equal(mine, theirs)


def test_known_answer_of_joining():
    # {1, 2, 3} has mean 2 and squared deviation 2; {4, 8} mean 6 and 8. Together, mean 18 / 5 = 3.6
    # and 2 + 8 + (6 - 2)^2 3 2 / 5 = 29.2 (Chan, Golub & LeVeque 1983, eq. 2.1).
    a = Moments(f64(3), f64([2]), f64([2]))
    b = Moments(f64(2), f64([6]), f64([8]))
    joined = joined_moments(stacked(a, b))
    assert joined.num_samples == 5
    assert_close(joined.mean, f64([3.6]), rtol=1e-15, atol=0)
    assert_close(joined.squared_deviation, f64([29.2]), rtol=1e-15, atol=0)
    assert_close(joined.variance, f64([5.84]), rtol=1e-15, atol=0)


def test_nothing_joined_with_something_is_that():
    some = task_moments(f64([[[[1.5], [2.5]]]]), f64([[[1, 1]]]))
    joined = joined_moments(stacked(no_moments(1), Moments(*(x[0] for x in some))))
    assert_close(list(joined), [f64(2), f64([2]), f64([0.5])], rtol=0, atol=0)
    assert (no_moments(3).variance == 0).all()


def test_padding_does_not_count():
    x, weight = torch.randn(2, 3, 4, 5), torch.ones(2, 3, 4)
    weight[0, 1, 2:] = weight[1] = 0
    moments = task_moments(x, weight)
    real = x[0][weight[0] == 1].double()
    assert moments.num_samples.tolist() == [10, 0]
    assert_close(moments.mean[0], real.mean(0), rtol=1e-14, atol=1e-15)
    assert_close(moments.variance[0], real.var(0, correction=0), rtol=1e-14, atol=0)
    assert (moments.mean[1] == 0).all()
    assert (moments.variance[1] == 0).all()
    elsewhere = torch.where(weight[..., None] == 1, x, 1e30)
    assert_same_bits(task_moments(elsewhere, weight), moments)


@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 1e6]))
@settings(deadline=None, max_examples=20)
def test_many_updates_give_the_moments_of_everything(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    batches = [
        scale * (3.0 + torch.randn(4, 3, 7, 2, dtype=torch.float64, generator=generator))
        for _ in range(6)
    ]
    running = no_moments(2)
    for batch in batches:
        new = joined_moments(task_moments(batch, torch.ones(4, 3, 7)))
        running = joined_moments(stacked(running, new))
    everything = torch.stack(batches).reshape(-1, 2)
    assert running.num_samples == len(everything)
    assert_close(running.mean, everything.mean(0), rtol=1e-12, atol=0)
    assert_close(running.variance, everything.var(0, correction=0), rtol=1e-12, atol=0)


def test_a_large_mean_does_not_hide_a_small_variance():
    x = 1e6 + torch.tensor([0.25, -0.25] * 500).view(1, 10, 100, 1)
    assert_close(task_moments(x, torch.ones(1, 10, 100)).variance, f64([[0.0625]]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("parts", [(7,), (3, 4), (3, 2, 2), (1,) * 7])
def test_however_tasks_are_shared_out_the_bits_are_the_same(parts, threads):
    generator = torch.Generator().manual_seed(0)
    x = 1e3 * torch.randn(7, 20, 200, 17, generator=generator)
    weight = (torch.rand(7, 20, 200, generator=generator) < 0.8).float()
    expected = joined_moments(task_moments(x, weight))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shares = [
            task_moments(*share) for share in zip(x.split(parts), weight.split(parts), strict=True)
        ]
        assert_same_bits(joined_moments(concatenated_moments(shares)), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 1001])
def test_sum_by_halves(length):
    x = torch.arange(2.0 * length, dtype=torch.float64).view(length, 2)
    assert torch.equal(sum_by_halves(x), x.sum(0))
    x = np.random.default_rng(0).normal(size=(length, 2))
    assert_close(sum_by_halves(torch.from_numpy(x)), torch.from_numpy(x.sum(0)))
