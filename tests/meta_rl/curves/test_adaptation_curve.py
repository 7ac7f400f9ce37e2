"""Means and intervals of adaptation curves, by hand."""

import numpy as np
import pytest
import torch

from meta_rl.curves.adaptation_curve import (
    AdaptationCurve,
    adaptation_curve,
    joined_curve,
    return_curve,
)
from meta_rl.types import RolloutBatch

# Two tasks, adaptation steps 0 to 2, two episodes.
CURVE = return_curve(
    task=np.zeros((2, 1)),
    episode_return=np.array(
        [[[1.0, 3.0], [4.0, 4.0], [10.0, 6.0]], [[5.0, 7.0], [8.0, 8.0], [0.0, 4.0]]]
    ),
)


def test_mean_over_tasks_and_episodes():
    # Task means: [2, 4, 8] and [6, 8, 2].
    np.testing.assert_allclose(CURVE.mean, [4.0, 6.0, 5.0])


def test_interval_over_tasks_not_over_episodes():
    # Half the distance of two means d is 1.96 * (d / sqrt 2) / sqrt 2 = .98 d; d = 4, 4, 6.
    np.testing.assert_allclose(CURVE.interval, [3.919928, 3.919928, 5.879892], rtol=1e-6)


def test_score_is_the_mean_after_adapting():
    assert CURVE.score == pytest.approx(5.5)
    unadapted = return_curve(CURVE.task, CURVE.value[:, :1])
    assert unadapted.score == pytest.approx(4.0)


def test_one_task_has_no_interval():
    one = return_curve(CURVE.task[:1], CURVE.value[:1])
    assert np.isnan(one.interval).all()
    assert one.interval.shape == (3,)
    np.testing.assert_allclose(one.mean, [2.0, 4.0, 8.0])


def test_the_curve_of_episodes():
    def episodes(offset: float) -> RolloutBatch:
        reward = torch.arange(12.0).reshape(2, 3, 2) + offset
        nothing = torch.zeros(2, 3, 2, dtype=torch.bool)
        observation = torch.zeros(2, 3, 2, 1)
        return RolloutBatch(
            *(observation, observation, reward, reward, nothing, nothing, ~nothing),
            task=np.array([[0.1], [0.2]]),
            num_diverged=0,
        )

    curve = adaptation_curve([episodes(0.0), episodes(1.0)])
    assert curve.value.shape == (2, 2, 3)
    assert curve.value.dtype == np.float64
    # Task 1, episode 0 is 6 + 7 before and 7 + 8 after adaptation.
    assert curve.value[1, :, 0].tolist() == [13.0, 15.0]
    assert curve.task.tolist() == [[0.1], [0.2]]


def test_scores_choose_low_losses_and_high_accuracies():
    # Two tasks, adaptation steps 0 and 1; no episodes.
    loss = np.array([[[3.0], [1.0]], [[5.0], [2.0]]])
    regression = AdaptationCurve(np.zeros((2, 1)), {"loss": loss})
    assert regression.score == -1.5
    assert regression.mean.tolist() == [4.0, 1.5]
    assert regression.value_names == ("loss",)
    accuracy = np.array([[[0.2], [0.9]], [[0.2], [1.0]]])
    images = AdaptationCurve(np.zeros((2, 1)), {"loss": loss, "accuracy": accuracy})
    assert images.score == pytest.approx(0.95)
    # 1.96 * std / sqrt(2), std = .1 / sqrt(2).
    assert images.interval[1] == pytest.approx(1.959964 * 0.05)
    assert [mean.tolist() for mean, _ in images.means.values()] == [[4.0, 1.5], [0.2, 0.95]]
    assert list(images.rows())[:2] == [(0, 0, [3.0, 0.2]), (0, 1, [1.0, 0.9])]


def test_rows_of_returns_number_the_episodes():
    assert CURVE.value_names == ("episode", "episode_return")
    assert list(CURVE.rows())[:3] == [(0, 0, [0, 1.0]), (0, 0, [1, 3.0]), (0, 1, [0, 4.0])]


def test_curves_are_joined_along_the_tasks():
    parts = [return_curve(CURVE.task[i : i + 1], CURVE.value[i : i + 1]) for i in (0, 1)]
    joined = joined_curve(parts)
    assert np.array_equal(joined.value, CURVE.value)
    assert joined.task.shape == (2, 1)
