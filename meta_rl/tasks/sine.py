"""Sinusoids (Finn et al. 2017, section 5.1; Nichol et al. 2018, section 4)."""

from dataclasses import dataclass

import numpy as np
import torch

from meta_rl.types import Examples, SupervisedBatch

AMPLITUDE_RANGE = (0.1, 5.0)
INPUT_RANGE = (-5.0, 5.0)


@dataclass(frozen=True)
class Sinusoids:
    """Tasks ``y = A sin(x - phi)``, A ~ U[.1, 5], phi ~ U[0, max_phase].

    A predictor of zero has a mean squared error of 4.25, the best one that does not know the task
    3.01 (phases up to pi); less before adaptation means that the task leaks.

    Attributes:
        max_phase: pi in MAML's setting, 2 pi in Reptile's.
        grid_size: inputs are drawn from so many evenly spaced points on [-5, 5], without
            replacement within a task's support and within its queries; None: x ~ U[-5, 5].
        oracle: whether A and phi are inputs too, [x, A, phi].
    """

    max_phase: float
    grid_size: int | None
    oracle: bool

    task_parameter_names = ("amplitude", "phase")

    @property
    def input_size(self) -> int:
        """Length of an input."""
        return 3 if self.oracle else 1

    def sample(
        self, num_tasks: int, num_support: int, num_query: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, SupervisedBatch]:
        """Draws tasks and their examples.

        Returns:
            (amplitude, phase) [M, 2], and float32 examples: input [M, X, input], target [M, X, 1].
        """
        amplitude = rng.uniform(*AMPLITUDE_RANGE, size=num_tasks)
        phase = rng.uniform(0.0, self.max_phase, size=num_tasks)
        task = np.stack([amplitude, phase], axis=-1)
        x = np.concatenate(
            [self._inputs(num_tasks, num_support, rng), self._inputs(num_tasks, num_query, rng)],
            axis=1,
        )
        examples = self.examples(task, x)
        support = Examples(*(entry[:, :num_support] for entry in examples))
        return task, SupervisedBatch(support, Examples(*(e[:, num_support:] for e in examples)))

    def examples(self, task: np.ndarray, x: np.ndarray) -> Examples:
        """Labels inputs x [M, X] of tasks [M, 2]."""
        y = task[:, :1] * np.sin(x - task[:, 1:])
        inputs = x[..., None]
        if self.oracle:
            shown = np.broadcast_to(task[:, None], (*x.shape, 2))
            inputs = np.concatenate([inputs, shown], axis=-1)
        return Examples(
            torch.from_numpy(inputs.astype(np.float32)),
            torch.from_numpy(y[..., None].astype(np.float32)),
        )

    def _inputs(self, num_tasks: int, num_examples: int, rng: np.random.Generator) -> np.ndarray:
        if self.grid_size is None:
            return rng.uniform(*INPUT_RANGE, size=(num_tasks, num_examples))
        order = rng.random((num_tasks, self.grid_size)).argsort(axis=-1)
        return np.linspace(*INPUT_RANGE, self.grid_size)[order[:, :num_examples]]
