"""Statistics of adaptation curves, by hand and beside SciPy's."""

import numpy as np
import pytest
from scipy import stats

from meta_rl.curves.adaptation_curve import AdaptationCurve, return_curve
from meta_rl.evaluation.evaluation_summary import (
    env_steps_used,
    interquartile_means,
    mean_curve,
    task_gains,
)


def curve(episode_return) -> AdaptationCurve:
    episode_return = np.array(episode_return, dtype=float)
    return return_curve(np.arange(len(episode_return))[:, None] / 10, episode_return)


def random_curves(num_runs: int = 3, shape=(6, 4, 5)) -> list[AdaptationCurve]:
    generator = np.random.default_rng(0)
    return [curve(generator.normal(size=shape)) for _ in range(num_runs)]


def test_the_mean_curve_of_one_run_is_its_own():
    (one,) = random_curves(1)
    np.testing.assert_array_equal(mean_curve([one]).mean, one.mean)
    np.testing.assert_array_equal(mean_curve([one]).interval, one.interval)


def test_the_mean_curve_counts_runs_alike_and_its_interval_counts_tasks():
    curves = random_curves()
    together = mean_curve(curves)
    np.testing.assert_allclose(together.mean, np.mean([c.mean for c in curves], axis=0))
    task_return = np.mean([c.value.mean(-1) for c in curves], axis=0)
    expected = 1.959964 * task_return.std(0, ddof=1) / np.sqrt(6)
    np.testing.assert_allclose(together.interval, expected)


def test_interquartile_means_are_over_all_pairs_of_run_and_task():
    curves = random_curves()
    means = interquartile_means(curves)
    for step in range(4):
        pairs = np.concatenate([c.value[:, step].mean(-1) for c in curves])
        assert means.mean[step] == pytest.approx(stats.trim_mean(pairs, 0.25), rel=1e-12)
        assert means.low[step] <= means.mean[step] <= means.high[step]
        assert means.high[step] - means.low[step] > 1e-3
    again = interquartile_means(curves)
    assert np.array_equal(again.low, means.low)
    shifted = interquartile_means([curve(c.value + 7.0) for c in curves])
    np.testing.assert_allclose(shifted.low, means.low + 7.0)


def test_gains_by_hand():
    # Task 0 gains 4 - 1, task 1 loses a little within its noise, task 2 loses much.
    gains = task_gains(
        [
            curve(
                [
                    [[0.0, 2.0], [9.0, 9.0], [4.0, 4.0]],
                    [[0.0, 2.0], [9.0, 9.0], [-1.0, 2.0]],
                    [[5.0, 5.1], [9.0, 9.0], [1.0, 1.1]],
                ]
            )
        ]
    )
    assert gains.before.tolist() == pytest.approx([1.0, 1.0, 5.05])
    assert gains.after.tolist() == pytest.approx([4.0, 0.5, 1.05])
    assert gains.gain.tolist() == pytest.approx([3.0, -0.5, -4.0])
    # Variance of a mean of two: (2 + 0) / 2, (2 + 4.5) / 2, (.005 + .005) / 2.
    expected = 1.959964 * np.sqrt([1.0, 3.25, 0.005])
    np.testing.assert_allclose(gains.interval, expected)
    assert gains.num_losing_runs.tolist() == [0, 1, 1]
    assert gains.num_clearly_losing_runs.tolist() == [0, 0, 1]
    assert gains.losing_share == pytest.approx(2 / 3)
    assert gains.clearly_losing_share == pytest.approx(1 / 3)


def test_the_interval_of_a_gain_is_welchs_for_many_episodes():
    generator = np.random.default_rng(1)
    before, after = generator.normal(0, 1, 2000), generator.normal(0.3, 3, 2000)
    gains = task_gains([curve([[before, after]])])
    expected = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert gains.gain[0] - gains.interval[0] == pytest.approx(expected.low, abs=1e-3)
    assert gains.gain[0] + gains.interval[0] == pytest.approx(expected.high, abs=1e-3)


def test_gains_of_several_runs_are_averaged_and_losing_ones_counted():
    up = curve([[[0.0, 1.0], [5.0, 6.0]], [[0.0, 1.0], [3.0, 4.0]]])
    down = curve([[[0.0, 1.0], [1.0, 2.0]], [[9.0, 9.5], [0.0, 0.5]]])
    gains = task_gains([up, down])
    assert gains.gain.tolist() == pytest.approx([3.0, -3.0])
    # Each mean of two has variance 1/4 in run "up": 1/2 per gain; averaged over two runs,
    # (1/2 + 1/2) / 4 for task 0 and (1/2 + 1/8) / 4 for task 1.
    np.testing.assert_allclose(gains.interval, 1.959964 * np.sqrt([0.25, 0.625 / 4]))
    assert gains.num_losing_runs.tolist() == [0, 1]
    assert gains.losing_share == 0.25
    assert gains.num_runs == 2


def test_about_one_task_in_forty_loses_clearly_where_nothing_changes():
    generator = np.random.default_rng(2)
    gains = task_gains([curve(generator.normal(size=(4000, 2, 40)))])
    assert gains.losing_share == pytest.approx(0.5, abs=0.03)
    assert gains.clearly_losing_share == pytest.approx(0.025, abs=0.01)


def test_env_steps_are_those_of_the_episodes_that_adaptation_saw():
    one = np.array([[100, 300], [10, 30], [1, 3]])
    assert env_steps_used([one]).tolist() == [0.0, 200.0, 220.0]
    assert env_steps_used([one, 3 * one]).tolist() == [0.0, 400.0, 440.0]
    assert env_steps_used([one[:1]]).tolist() == [0.0]


def test_a_lower_loss_is_a_gain_and_one_value_per_task_has_no_interval():
    loss = np.array([[3.0, 1.0], [2.0, 2.5]])[..., None]
    gains = task_gains([AdaptationCurve(np.zeros((2, 1)), {"loss": loss})])
    assert gains.gain.tolist() == [2.0, -0.5]
    assert (gains.before.tolist(), gains.after.tolist()) == ([3.0, 2.0], [1.0, 2.5])
    assert gains.num_losing_runs.tolist() == [0, 1]
    assert gains.num_clearly_losing_runs.tolist() == [0, 0]
    assert np.isnan(gains.interval).all()


def test_the_mean_curve_has_every_quantity_of_its_runs():
    runs = [
        AdaptationCurve(
            np.zeros((2, 1)),
            {"loss": np.full((2, 3, 1), value), "accuracy": np.full((2, 3, 1), value / 10)},
        )
        for value in (1.0, 2.0)
    ]
    together = mean_curve(runs)
    assert {name: mean.tolist() for name, (mean, _) in together.means.items()} == {
        "loss": [1.5] * 3,
        "accuracy": pytest.approx([0.15] * 3),
    }
