"""Sinusoids: ranges, labels, and the losses of predictors that know no task."""

import math

import numpy as np
import pytest
import torch

from meta_rl.tasks.sine import Sinusoids

MAML = Sinusoids(max_phase=math.pi, grid_size=None, oracle=False)
REPTILE = Sinusoids(max_phase=2 * math.pi, grid_size=50, oracle=False)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_labels_are_the_sinusoid_of_the_task():
    task, batch = MAML.sample(4, 3, 2, rng())
    assert batch.support.input.shape == (4, 3, 1)
    assert batch.query.target.shape == (4, 2, 1)
    for examples in batch:
        x, y = (entry.double().numpy()[..., 0] for entry in examples)
        np.testing.assert_allclose(y, task[:, :1] * np.sin(x - task[:, 1:]), atol=1e-5)


@pytest.mark.parametrize(("tasks", "max_phase"), [(MAML, math.pi), (REPTILE, 2 * math.pi)])
def test_ranges_are_filled(tasks, max_phase):
    task, batch = tasks.sample(20_000, 5, 5, rng())
    assert task.min(0) == pytest.approx([0.1, 0.0], abs=1e-2)
    assert task.max(0) == pytest.approx([5.0, max_phase], abs=1e-2)
    assert task.mean(0) == pytest.approx([2.55, max_phase / 2], abs=5e-2)
    for examples in batch:
        assert float(examples.input.min()) == pytest.approx(-5.0, abs=1e-2)
        assert float(examples.input.max()) == pytest.approx(5.0, abs=1e-2)


def test_losses_of_predictors_that_do_not_know_the_task():
    # Closed forms: zero, and the mean sinusoid -2 / pi * 2.55 cos x.
    _, batch = MAML.sample(40_000, 5, 5, rng())
    x, y = batch.query
    assert float(y.square().mean()) == pytest.approx(4.251667, rel=0.02)
    mean = -2.0 / math.pi * 2.55 * torch.cos(x)
    assert float((y - mean).square().mean()) == pytest.approx(3.005669, rel=0.02)


def test_support_and_queries_differ():
    _, batch = MAML.sample(3, 5, 5, rng())
    assert not torch.equal(batch.support.input, batch.query.input)


def test_grid_points_come_once():
    _, batch = REPTILE.sample(3, 50, 10, rng())
    grid = torch.linspace(-5.0, 5.0, 50)
    for x in batch.support.input[..., 0]:
        torch.testing.assert_close(x.sort().values, grid)
        assert not torch.equal(x, x.sort().values)
    for x in batch.query.input[..., 0]:
        assert len(x.unique()) == 10


def test_the_oracle_sees_the_task():
    tasks = Sinusoids(max_phase=math.pi, grid_size=None, oracle=True)
    task, batch = tasks.sample(2, 3, 1, rng())
    assert batch.support.input.shape == (2, 3, tasks.input_size)
    for example in range(3):
        np.testing.assert_allclose(batch.support.input[:, example, 1:], task, rtol=1e-6)


def test_a_draw_is_a_function_of_the_generator():
    for tasks in (MAML, REPTILE):
        first, again, other = (tasks.sample(2, 3, 4, rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(first[0], again[0])
        assert torch.equal(first[1].query.target, again[1].query.target)
        assert not np.array_equal(first[0], other[0])
