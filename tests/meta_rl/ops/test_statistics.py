"""The interquartile mean and the stratified bootstrap, beside SciPy's and counted by hand."""

import numpy as np
import pytest
from scipy import stats

from meta_rl.ops.statistics import interquartile_mean, stratified_bootstrap_interval


def interval(score, statistic=interquartile_mean, seed=0, num_resamples=4000, confidence=0.95):
    return stratified_bootstrap_interval(
        np.asarray(score, dtype=float),
        statistic,
        rng=np.random.default_rng(seed),
        num_resamples=num_resamples,
        confidence=confidence,
    )


@pytest.mark.parametrize("size", range(1, 18))
def test_the_interquartile_mean_is_scipys_trimmed_mean(size):
    score = np.random.default_rng(size).standard_cauchy((3, size))
    expected = stats.trim_mean(score, 0.25, axis=-1)
    np.testing.assert_allclose(interquartile_mean(score), expected, rtol=1e-13)


def test_the_interquartile_mean_by_hand():
    # Of eight entries the two least and the two greatest are left out: (3 + 4 + 5 + 6) / 4.
    assert interquartile_mean(np.array([8.0, -1e9, 3, 1, 6, 1e9, 4, 5])) == 4.5


@pytest.mark.parametrize("statistic", [interquartile_mean, lambda score: score.mean(-1)])
def test_the_interval_is_scipys_paired_bootstrap_over_runs(statistic):
    # Five runs on seven tasks: runs differ, tasks differ, and both together.
    generator = np.random.default_rng(3)
    score = generator.normal(size=(5, 1)) + 3 * generator.normal(size=7)
    score = score + 0.3 * generator.normal(size=(5, 7))
    low, high = interval(score, statistic, num_resamples=20_000)
    # SciPy takes a sample per stratum; paired, it draws the same runs in each of them.
    expected = stats.bootstrap(
        tuple(score.T),
        lambda *tasks, axis: (
            statistic(np.moveaxis(np.stack(tasks), 0, -1).reshape(-1, 35))
            if np.ndim(tasks[0]) > 1
            else statistic(np.stack(tasks).reshape(-1))
        ),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.03 * width)
    assert high == pytest.approx(expected.high, abs=0.03 * width)


def test_the_ends_are_quantiles_of_all_resamples_of_two_runs():
    # Resamples of two runs with means 0 and 1: 0, 1/2, 1/2 and 1, each with probability 1/4. So
    # the 40 % interval reaches from quantile 0.3 to 0.7, both 1/2, the 60 % one from 0 to 1.
    score, mean = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], lambda score: score.mean(-1)
    assert interval(score, mean, confidence=0.4) == (0.5, 0.5)
    assert interval(score, mean, confidence=0.6) == (0.0, 1.0)


def test_every_resample_holds_every_task():
    # Runs that agree leave nothing to chance, however much the tasks differ.
    low, high = interval([[1.0, 50.0, -7.0, 3.0]] * 4)
    assert low == high == 2.0


def test_the_luck_of_a_run_is_not_averaged_over_its_tasks():
    # Each run is lucky or not on all of its tasks alike. Runs drawn anew for each of 50 tasks would
    # give an interval about seven times as narrow.
    luck = np.random.default_rng(0).normal(size=(6, 1))
    alone, many = interval(luck), interval(np.repeat(luck, 50, axis=1))
    assert many[1] - many[0] > 0.6 * (alone[1] - alone[0])


def test_the_interval_covers():
    # Of 200 experiments with eight runs each, the 90 % interval of the mean should hold the truth
    # in about 0.9 of them; the bootstrap of few runs is known to be somewhat narrow.
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        score = generator.normal(size=(8, 1)) + generator.normal(size=(8, 4))
        low, high = interval(
            score, lambda x: x.mean(-1), seed=seed, num_resamples=500, confidence=0.9
        )
        covered += low <= 0 <= high
    assert 0.75 < covered / 200 < 0.97


def test_the_same_generator_gives_the_same_interval():
    score = np.random.default_rng(2).normal(size=(9, 5))
    assert interval(score, num_resamples=100) == interval(score, num_resamples=100)
    assert interval(score, num_resamples=100) != interval(score, num_resamples=100, seed=1)
