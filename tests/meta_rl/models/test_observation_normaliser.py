"""What a policy sees where observations are normalised."""

import pytest
import torch
from torch.testing import assert_close

from meta_rl.models.observation_normaliser import (
    observation_normaliser,
    split_moments,
    with_moments,
)
from meta_rl.ops.moments import Moments, no_moments, task_moments

CPU = torch.device("cpu")


def moments(mean, std, num_samples=100.0):
    mean, std = (torch.tensor(x, dtype=torch.float64) for x in (mean, std))
    return Moments(torch.tensor(num_samples, dtype=torch.float64), mean, num_samples * std**2)


def test_mean_zero_and_standard_deviation_one():
    normalise = observation_normaliser(moments([1e3, -2.0], [500.0, 1e-3]), CPU)
    seen = normalise(torch.tensor([[1e3, -2.0], [1500.0, -2.001]]))
    assert seen.dtype == torch.float32
    assert_close(seen, torch.tensor([[0.0, 0.0], [1.0, -1.0]]), rtol=1e-3, atol=0)


def test_the_observations_that_the_statistics_are_of():
    x = torch.randn(2, 5, 50, 3) * torch.tensor([1e3, 1.0, 1e-3]) + torch.tensor([0, 1e2, 0])
    both = Moments(*(entry[0] for entry in task_moments(x[:1], torch.ones(1, 5, 50))))
    seen = observation_normaliser(both, CPU)(x[:1]).flatten(0, 2)
    assert_close(seen.mean(0), torch.zeros(3), rtol=0, atol=1e-3)
    assert_close(seen.std(0, correction=0), torch.ones(3), rtol=1e-4, atol=0)


def test_it_is_bounded():
    normalise = observation_normaliser(moments([0.0, 0.0], [1.0, 1e-30]), CPU)
    seen = normalise(torch.tensor([[11.0, -1.0], [-3e38, 3e38], [9.0, 0.0]]))
    assert seen.tolist() == [[10.0, -10.0], [-10.0, 10.0], [9.0, 0.0]]


@pytest.mark.parametrize(
    "statistics",
    [no_moments(2), moments([5.0, 0.0], [0.0, 0.0]), moments([5.0, 0.0], [1e-9, 0.0])],
    ids=["none yet", "constant", "constant but for rounding"],
)
def test_what_has_not_varied_keeps_its_unit(statistics):
    normalise = observation_normaliser(statistics, CPU)
    difference = normalise(torch.tensor([7.0, 2.0])) - normalise(torch.tensor([5.0, 0.0]))
    assert_close(difference, torch.tensor([2.0, 2.0]))


def test_an_observation_looks_the_same_in_any_batch():
    normalise = observation_normaliser(moments([0.1] * 17, [0.3] * 17), CPU)
    batch = torch.randn(40, 20, 200, 17)
    seen = normalise(batch)
    assert torch.equal(normalise(batch[3, 7, 11]), seen[3, 7, 11])
    assert torch.equal(normalise(batch[:, :, 5]), seen[:, :, 5])


def test_a_model_is_parameters_and_statistics():
    params = {"mean.weight": torch.ones(2, 3), "log_std": torch.zeros(1)}
    assert with_moments(params, None) is params
    assert split_moments(params) == (params, None)
    statistics = moments([1.0], [2.0])
    model = with_moments(params, statistics)
    assert list(model)[:2] == list(params)
    assert len(model) == 5
    split, found = split_moments(model)
    assert split == params
    assert found == statistics


def test_without_statistics_nothing_is_normalised():
    assert observation_normaliser(None, CPU) is None
