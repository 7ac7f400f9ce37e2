"""What evaluations say in a few numbers: value per step, tasks that lose by adapting, cost.

Pure functions of adaptation curves: several curves are those of several training runs, on the
same tasks and with the same number of steps and episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meta_rl.curves.adaptation_curve import QUANTILE_95, AdaptationCurve
from meta_rl.ops.statistics import interquartile_mean, stratified_bootstrap_interval

NUM_RESAMPLES = 5_000
BOOTSTRAP = (
    f"95 % percentile interval of {NUM_RESAMPLES} stratified bootstrap resamples: training runs "
    "are drawn with replacement, the same ones for every task, and tasks are kept (after Agarwal "
    "et al. 2021, arXiv 2108.13264)"
)


@dataclass(frozen=True)
class InterquartileMeans:
    """The mean of the middle half of all (run, task) values at adaptation steps 0, 1, ..., K.

    Attributes:
        mean: [K + 1].
        low: [K + 1], lower end of the interval that ``BOOTSTRAP`` describes.
        high: [K + 1], upper end.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class TaskGains:
    """What the last adaptation step has gained over none, task by task, over all runs.

    Attributes:
        task: [M, P].
        before: [M], mean value before adapting, for example of the returns.
        after: [M], mean value after the last step.
        gain: [M], negative where adapting makes it worse, be it a return or a loss.
        interval: [M], half-width of the 95 % interval of the gain, from the episodes' spread; nan
            for supervised tasks, which have one value each.
        num_losing_runs: [M], runs in which the task got worse.
        num_clearly_losing_runs: [M], runs in which it lost more than that run's own interval.
            Where nothing changes, one task in forty is expected to.
        num_runs: R.
    """

    task: np.ndarray
    before: np.ndarray
    after: np.ndarray
    gain: np.ndarray
    interval: np.ndarray
    num_losing_runs: np.ndarray
    num_clearly_losing_runs: np.ndarray
    num_runs: int

    @property
    def losing_share(self) -> float:
        """Share of (run, task) pairs that lose (Deleu & Bengio 2018, arXiv 1812.02159)."""
        return float(self.num_losing_runs.mean() / self.num_runs)

    @property
    def clearly_losing_share(self) -> float:
        """Share of (run, task) pairs that lose more than their interval."""
        return float(self.num_clearly_losing_runs.mean() / self.num_runs)


def mean_curve(curves: Sequence[AdaptationCurve]) -> AdaptationCurve:
    """The curve of all runs together: its mean is over runs too, its interval over tasks."""
    together = {
        name: np.concatenate([curve.quantities[name] for curve in curves], axis=-1)
        for name in curves[0].quantities
    }
    return AdaptationCurve(curves[0].task, together)


def interquartile_means(curves: Sequence[AdaptationCurve]) -> InterquartileMeans:
    """The interquartile mean of the stated quantity at every step, the same at every call."""
    return interquartile_means_of_scores([curve.task_value for curve in curves])


def interquartile_means_of_scores(scores: Sequence[np.ndarray]) -> InterquartileMeans:
    """The interquartile mean at every adaptation step, the same at every call.

    Args:
        scores: for each run, one per task and adaptation step, [M, K + 1].
    """
    score_KRM = np.stack([score_MK.T for score_MK in scores], axis=1)
    means = [interquartile_mean(score_RM.reshape(-1)) for score_RM in score_KRM]
    # The same resamples at every step, so that intervals differ only as the returns do.
    intervals = [
        stratified_bootstrap_interval(
            score_RM,
            interquartile_mean,
            rng=np.random.default_rng(0),
            num_resamples=NUM_RESAMPLES,
            confidence=0.95,
        )
        for score_RM in score_KRM
    ]
    low, high = np.transpose(intervals)
    return InterquartileMeans(np.array(means), low, high)


def task_gains(curves: Sequence[AdaptationCurve]) -> TaskGains:
    """Compares the last adaptation step with none on every task.

    The two steps have episodes of their own, so the variance of a gain is the sum of the
    variances of two means; over runs, gains are averaged.
    """
    ends = np.stack([curve.value[:, [0, -1]] for curve in curves])  # [R, M, 2, E]
    mean, num_episodes = ends.mean(-1), ends.shape[-1]
    sign = -1.0 if curves[0].lower_is_better else 1.0
    before, after = mean[..., 0], mean[..., 1]
    gain = sign * (after - before)
    spread = ends.var(-1, ddof=1) if num_episodes > 1 else np.full_like(mean, np.nan)
    variance = spread.sum(-1) / num_episodes  # [R, M]
    num_runs = len(curves)
    return TaskGains(
        task=curves[0].task,
        before=before.mean(0),
        after=after.mean(0),
        gain=sign * (after.mean(0) - before.mean(0)),
        interval=QUANTILE_95 * np.sqrt(variance.sum(0)) / num_runs,
        num_losing_runs=(gain < 0).sum(0),
        num_clearly_losing_runs=(gain < -QUANTILE_95 * np.sqrt(variance)).sum(0),
        num_runs=num_runs,
    )


def env_steps_used(env_steps: Sequence[np.ndarray]) -> np.ndarray:
    """Environment steps that adapting to one task takes, mean over tasks and runs, [K + 1].

    Entry k counts the episodes at steps 0, 1, ..., k - 1, from which step k is computed; those
    that measure step k itself are not needed to adapt.

    Args:
        env_steps: of each run, the steps taken at each adaptation step, [K + 1, M].
    """
    per_step = np.mean([steps.mean(1) for steps in env_steps], axis=0)
    return np.concatenate(([0.0], np.cumsum(per_step)[:-1]))
