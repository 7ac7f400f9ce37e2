"""Everything that training writes down: metrics, evaluations, checkpoints, the screen."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from meta_rl.config import AnyConfig
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.runs.checkpoint import save_checkpoint
from meta_rl.runs.evaluation_table import EvaluationTable
from meta_rl.runs.metrics_file import MetricsFile
from meta_rl.runs.progress import Progress
from meta_rl.runs.run_directory import RunDirectory
from meta_rl.runs.sinks import SINKS, Sink
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.seeding import Split


class TrainingLog(Protocol):
    """What the training loop reports to."""

    def write(self, record: Mapping[str, Any], validation: AdaptationCurve | None) -> None:
        """Takes a flat record of numbers, and the validation that followed it, if any."""

    def evaluation(self, meta_iteration: int, split: Split, curve: AdaptationCurve) -> None:
        """Takes an evaluation."""

    def checkpoint(self, state: TrainerState) -> None:
        """Takes a state that is worth saving."""

    def note(self, text: str) -> None:
        """Takes a line for the user."""


class SilentLog:
    """That of the ranks that do not write."""

    def write(self, *args: object) -> None:
        """Does nothing."""

    def evaluation(self, *args: object) -> None:
        """Does nothing."""

    def checkpoint(self, *args: object) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""


class RunLog:
    """The one place through which training reaches files and the screen."""

    def __init__(
        self,
        run_directory: RunDirectory,
        config: AnyConfig,
        task_parameter_names: Sequence[str],
        progress: Progress,
        *,
        resume_from: int,
        value_names: Sequence[str],
    ) -> None:
        """Opens the files, dropping what lies beyond the checkpoint ``resume_from``."""
        self._run_directory = run_directory
        self._config = config
        self._progress = progress
        self._metrics = MetricsFile(run_directory.metrics_file, resume_from)
        opened = (open_sink(run_directory.path, config, progress.note) for open_sink in SINKS)
        self._sinks: list[Sink] = [sink for sink in opened if sink is not None]
        self._table = EvaluationTable(
            run_directory.evaluation_file, task_parameter_names, value_names, resume_from
        )
        self._last_checkpoint = resume_from if resume_from > 0 else None

    def write(self, record: Mapping[str, Any], validation: AdaptationCurve | None) -> None:
        """Hands a flat record of numbers to every sink and to the screen.

        Args:
            record: its ``meta_iteration`` counts the completed meta-iterations.
            validation: what followed it, if anything.

        Raises:
            RunDirectoryError: the run directory is no longer this process's.
            LineFileError: the disk is full, for example.
        """
        self._run_directory.check_is_ours()
        if validation is not None:
            self.evaluation(record["meta_iteration"], Split.VALIDATION, validation)
        self._metrics.write(record)
        for sink in self._sinks:
            sink.write(record)
        self._progress.meta_iteration(record)

    def note(self, text: str) -> None:
        """Says something on the screen."""
        self._progress.note(text)

    def evaluation(self, meta_iteration: int, split: Split, curve: AdaptationCurve) -> None:
        """Adds every row of an evaluation to the table."""
        name = split.name.lower()
        self._table.write(meta_iteration, name, curve)
        for sink in self._sinks:
            sink.evaluation(meta_iteration, name, curve)

    def checkpoint(self, state: TrainerState) -> None:
        """Saves the state, unless it is saved already.

        Raises:
            RunDirectoryError: the run directory is no longer this process's.
            LineFileError, CheckpointError: the disk is full, for example.
        """
        self._run_directory.check_is_ours()
        if state.meta_iteration == self._last_checkpoint:
            return
        # A checkpoint that outlives a power cut promises that its metrics do, too.
        self._metrics.sync()
        self._table.sync()
        save_checkpoint(
            self._run_directory.path,
            state.meta_iteration,
            state.model,
            self._config,
            state.plain_values(),
            state.best,
            also_kept=state.validations.needed_checkpoints,
        )
        self._last_checkpoint = state.meta_iteration

    @property
    def num_saved(self) -> int:
        """Completed meta-iterations of the last checkpoint."""
        return self._last_checkpoint or 0

    def close(self) -> None:
        """Closes files and sinks."""
        self._metrics.close()
        for sink in self._sinks:
            sink.close()
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
