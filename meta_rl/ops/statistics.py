"""Statistics over runs and tasks that few runs can bear (Agarwal et al. 2021, arXiv 2108.13264)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def interquartile_mean(score: FloatArray) -> FloatArray:
    """Mean of the middle half of the last axis, [..., N] -> [...].

    From each end ``N // 4`` entries are left out, so a few outliers do not decide the result as
    they would in a mean, and more entries count than in a median.
    """
    num_left_out = score.shape[-1] // 4
    kept = np.sort(score, axis=-1)[..., num_left_out : score.shape[-1] - num_left_out]
    return kept.mean(-1)


def stratified_bootstrap_interval(
    score_RM: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    rng: np.random.Generator,
    num_resamples: int,
    confidence: float,
) -> tuple[float, float]:
    """Percentile interval of a statistic over training runs, the tasks staying as they are.

    Every resample draws R of the R runs with replacement and keeps every task: tasks are the
    strata, as in Agarwal et al. 2021, section 4.1. There the draw is made for each task anew,
    because each score comes from a training of its own; here one run gives the scores on all
    tasks, so the draw is the same for all of them. Drawing anew would take the luck of one
    training for that of many, and the interval would be too narrow.

    Args:
        score_RM: one score per run and task, [R, M].
        statistic: [..., R * M] -> [...].
        rng: random numbers.
        num_resamples: how many resamples.
        confidence: between 0 and 1, for example 0.95.

    Returns:
        Lower and upper end.
    """
    num_runs = len(score_RM)
    runs_BR = rng.integers(num_runs, size=(num_resamples, num_runs))
    resampled = statistic(score_RM[runs_BR].reshape(num_resamples, -1))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return float(low), float(high)
