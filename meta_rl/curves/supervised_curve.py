"""Loss and accuracy against adaptation steps, with intervals over tasks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from meta_rl.curves.adaptation_curve import QUANTILE_95


@dataclass(frozen=True)
class SupervisedCurve:
    """Queries of one set of tasks at adaptation steps 0, 1, ..., K.

    Attributes:
        task: [M, P].
        loss: mean over the queries of a task, [M, K + 1].
        accuracy: share of right answers among them, [M, K + 1]; None for regression.
    """

    task: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray | None

    @property
    def quantities(self) -> dict[str, np.ndarray]:
        """What was measured, by name, each [M, K + 1]; the last one is what the papers state."""
        named = {"loss": self.loss}
        return named if self.accuracy is None else named | {"accuracy": self.accuracy}

    @property
    def mean(self) -> np.ndarray:
        """Mean over tasks of what the papers state at each adaptation step, [K + 1]."""
        return self._stated.mean(0)

    @property
    def interval(self) -> np.ndarray:
        """Half-width of the 95 % confidence interval of ``mean`` over tasks, [K + 1]."""
        return half_width(self._stated)

    @property
    def score(self) -> float:
        """What an iteration is chosen by: accuracy, or minus the loss, after the last step."""
        value = self._stated[:, -1].mean()
        return float(-value if self.accuracy is None else value)

    def rows(self) -> Iterator[tuple[int, int, list[float]]]:
        """Yields task index, adaptation step, and the quantities there."""
        values = np.stack(list(self.quantities.values()), axis=-1)
        for index, step in np.ndindex(values.shape[:2]):
            yield index, step, values[index, step].tolist()

    @property
    def _stated(self) -> np.ndarray:
        return self.loss if self.accuracy is None else self.accuracy


def half_width(value: np.ndarray) -> np.ndarray:
    """Of the 95 % confidence interval of the mean over the first axis, [M, ...] -> [...]."""
    return QUANTILE_95 * value.std(0, ddof=1) / np.sqrt(len(value))
