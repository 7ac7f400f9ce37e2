"""What a training loop needs of a problem, whatever is learned and from what."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

import numpy as np
import torch

from meta_rl.config import AnyConfig
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.runs.progress import RowFormat
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.notes import Notes
from meta_rl.runtime.ranks import Ranks
from meta_rl.runtime.seeding import Split
from meta_rl.runtime.stage_clock import StageClock


class Problem(Protocol):
    """Tasks that are drawn, played or batched, and scored; a context manager.

    Attributes:
        ranks: the processes that share the tasks.
        device: where tensors live.
        notes: lines for the user.
    """

    ranks: Ranks
    device: torch.device
    notes: Notes

    @property
    def config(self) -> AnyConfig:
        """The settings."""

    @property
    def title(self) -> str:
        """What is trained, in a word."""

    @property
    def task_parameter_names(self) -> tuple[str, ...]:
        """Names of the entries of a task."""

    @property
    def value_names(self) -> tuple[str, ...]:
        """The last columns of ``evaluation.csv``."""

    @property
    def row_format(self) -> RowFormat:
        """What the screen shows of a meta-iteration."""

    def initial_state(self) -> TrainerState:
        """The state before any meta-update, a function of the settings alone."""

    def warnings(self) -> Sequence[str]:
        """Sentences that should be said before training."""

    def around_training(self) -> AbstractContextManager[None]:
        """What holds for the whole of a training."""

    def meta_iteration(
        self, state: TrainerState, clock: StageClock
    ) -> tuple[TrainerState, Mapping[str, Any]]:
        """Draws tasks, and lets the algorithm learn from them.

        Returns:
            The next state, and the metrics of this iteration. Those that begin with ``train_`` are
            averaged over the iterations of a line.

        Raises:
            EnvironmentFault: an environment raised, hung, died or returned non-finite numbers.
            NumericalError: anything that is computed from that is not finite.
            AlgorithmError: the algorithm returned something else than it should.
            RankError: another rank has stopped.
        """

    def evaluate(self, state: TrainerState, split: Split) -> AdaptationCurve:
        """Adapts to validation or test tasks, the same ones at every call.

        Raises:
            EnvironmentFault, NumericalError, AlgorithmError, RankError: as ``meta_iteration``.
        """

    def test_origin(self, tasks: np.ndarray) -> TaskOrigin:
        """What may be said of test tasks [M, P]."""

    def close(self) -> None:
        """Ends what was opened."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
