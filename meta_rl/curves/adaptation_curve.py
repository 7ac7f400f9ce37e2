"""What adapting does to a set of tasks, against adaptation steps, with intervals over tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meta_rl.types import RolloutBatch

# The normal quantile; tasks are many enough for it.
QUANTILE_95 = 1.959964
EPISODE_RETURN = "episode_return"
_LOWER_IS_BETTER = frozenset({"loss"})


@dataclass(frozen=True)
class AdaptationCurve:
    """Quantities of one set of tasks at adaptation steps 0, 1, ..., K.

    The last quantity is the one that papers state, and what runs are compared by.

    Attributes:
        task: [M, P].
        quantities: by name, each [M, K + 1, E]: undiscounted returns of E episodes, or means over
            the queries of a supervised task, of which there is one (E = 1).
    """

    task: np.ndarray
    quantities: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        """Of the stated quantity."""
        return list(self.quantities)[-1]

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name.removeprefix("episode_")

    @property
    def counts_episodes(self) -> bool:
        """Whether values are of episodes, rather than one of a task's queries."""
        return EPISODE_RETURN in self.quantities

    @property
    def value(self) -> np.ndarray:
        """The stated quantity, [M, K + 1, E]."""
        return self.quantities[self.name]

    @property
    def lower_is_better(self) -> bool:
        """Whether a small value is a good one."""
        return self.name in _LOWER_IS_BETTER

    @property
    def task_value(self) -> np.ndarray:
        """Mean over the episodes of each task, [M, K + 1]."""
        return self.value.mean(-1)

    @property
    def mean(self) -> np.ndarray:
        """Mean over tasks and episodes at each adaptation step, [K + 1]."""
        return self.task_value.mean(0)

    @property
    def interval(self) -> np.ndarray:
        """Half-width of the 95 % confidence interval of ``mean`` over tasks, [K + 1].

        nan where there is one task only.
        """
        return half_width(self.task_value)

    @property
    def score(self) -> float:
        """What an iteration is chosen by: the mean over the steps >= 1; more is better.

        Without any adaptation step it is the mean of step 0. A loss counts negatively.
        """
        mean = float(self.mean[1:].mean() if len(self.mean) > 1 else self.mean[0])
        return -mean if self.lower_is_better else mean

    @property
    def means(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of each quantity: mean and half-width at each adaptation step, both [K + 1]."""
        per_task = {name: value.mean(-1) for name, value in self.quantities.items()}
        return {name: (value.mean(0), half_width(value)) for name, value in per_task.items()}

    @property
    def value_names(self) -> tuple[str, ...]:
        """The last columns of ``rows``."""
        return value_names(tuple(self.quantities))

    def rows(self) -> Iterator[tuple[int, int, list[float]]]:
        """Yields task index, adaptation step, and the values there: see ``value_names``."""
        values = np.stack(list(self.quantities.values()), axis=-1)
        for index, step, episode in np.ndindex(values.shape[:3]):
            numbered = [episode] if self.counts_episodes else []
            yield index, step, [*numbered, *values[index, step, episode].tolist()]


def value_names(quantities: Sequence[str]) -> tuple[str, ...]:
    """The columns of a row: the episode's number where quantities are of episodes, and theirs."""
    return ("episode", *quantities) if EPISODE_RETURN in quantities else tuple(quantities)


def half_width(value: np.ndarray) -> np.ndarray:
    """Of the 95 % confidence interval of the mean over the first axis, [M, ...] -> [...].

    nan where there is one entry only.
    """
    if len(value) < 2:
        return np.full(value.shape[1:], np.nan)
    width: np.ndarray = QUANTILE_95 * value.std(0, ddof=1) / np.sqrt(len(value))
    return width


def return_curve(task: np.ndarray, episode_return: np.ndarray) -> AdaptationCurve:
    """The curve of undiscounted returns [M, K + 1, E]."""
    return AdaptationCurve(task, {EPISODE_RETURN: episode_return})


def joined_curve(curves: Sequence[AdaptationCurve]) -> AdaptationCurve:
    """One curve over the tasks of all."""
    return AdaptationCurve(
        task=np.concatenate([curve.task for curve in curves]),
        quantities={
            name: np.concatenate([curve.quantities[name] for curve in curves])
            for name in curves[0].quantities
        },
    )


def adaptation_curve(episodes: Sequence[RolloutBatch]) -> AdaptationCurve:
    """The curve of episodes collected at adaptation steps 0, 1, ..., K."""
    returns = [rollouts.episode_return.double().cpu().numpy() for rollouts in episodes]
    return return_curve(episodes[0].task, np.stack(returns, axis=1))
