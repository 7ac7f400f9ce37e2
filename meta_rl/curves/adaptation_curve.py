"""Return against adaptation steps, with an interval over tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meta_rl.types import RolloutBatch

# The normal quantile; tasks are many enough for it.
QUANTILE_95 = 1.959964


@dataclass(frozen=True)
class AdaptationCurve:
    """Undiscounted returns of one set of tasks at adaptation steps 0, 1, ..., K.

    Attributes:
        task: [M, P].
        episode_return: [M, K + 1, E].
    """

    task: np.ndarray
    episode_return: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over tasks and episodes at each adaptation step, [K + 1]."""
        return self._task_return.mean(0)

    @property
    def interval(self) -> np.ndarray:
        """Half-width of the 95 % confidence interval of ``mean`` over tasks, [K + 1].

        nan where there is one task only.
        """
        num_tasks = len(self._task_return)
        if num_tasks < 2:
            return np.full(self._task_return.shape[1], np.nan)
        return QUANTILE_95 * self._task_return.std(0, ddof=1) / np.sqrt(num_tasks)

    @property
    def score(self) -> float:
        """What an iteration is chosen by: the mean return after adapting, over the steps >= 1.

        Without any adaptation step, the mean return.
        """
        return float(self.mean[1:].mean() if len(self.mean) > 1 else self.mean[0])

    @property
    def _task_return(self) -> np.ndarray:
        return self.episode_return.mean(-1)


def joined_curve(curves: Sequence[AdaptationCurve]) -> AdaptationCurve:
    """One curve over the tasks of all."""
    return AdaptationCurve(
        task=np.concatenate([curve.task for curve in curves]),
        episode_return=np.concatenate([curve.episode_return for curve in curves]),
    )


def adaptation_curve(episodes: Sequence[RolloutBatch]) -> AdaptationCurve:
    """The curve of episodes collected at adaptation steps 0, 1, ..., K."""
    returns = [rollouts.episode_return.double().cpu().numpy() for rollouts in episodes]
    return AdaptationCurve(task=episodes[0].task, episode_return=np.stack(returns, axis=1))
