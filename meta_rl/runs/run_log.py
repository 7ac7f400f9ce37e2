"""Everything that training writes down: metrics, evaluations, checkpoints, the screen."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from meta_rl.config import AnyConfig
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.curves.episode_summary import EpisodeSummary
from meta_rl.curves.supervised_curve import SupervisedCurve
from meta_rl.runs.checkpoint import save_checkpoint
from meta_rl.runs.evaluation_table import RL_VALUE_NAMES, EvaluationTable
from meta_rl.runs.metrics import JsonlSink, MetricsSink
from meta_rl.runs.progress import Progress
from meta_rl.runs.run_directory import RunDirectory
from meta_rl.runs.supervised_state import SupervisedState
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runs.wandb_sink import WandbSink
from meta_rl.runtime.seeding import Split
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import MetaUpdateStats


class TrainingLog(Protocol):
    """What the training loop reports to."""

    def meta_iteration(
        self,
        state: TrainerState,
        summary: EpisodeSummary,
        stats: MetaUpdateStats,
        clock: StageClock,
        validation: AdaptationCurve | None,
    ) -> None:
        """Takes a meta-iteration, and the validation that followed it, if any."""

    def evaluation(self, meta_iteration: int, split: Split, curve: AdaptationCurve) -> None:
        """Takes an evaluation."""

    def checkpoint(self, state: TrainerState) -> None:
        """Takes a state that is worth saving."""

    def note(self, text: str) -> None:
        """Takes a line for the user."""


class SilentLog:
    """That of the ranks that do not write."""

    def meta_iteration(self, *args: object) -> None:
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
        value_names: Sequence[str] = RL_VALUE_NAMES,
    ) -> None:
        """Opens the files, dropping what lies beyond the checkpoint ``resume_from``."""
        self._run_directory = run_directory
        self._config = config
        self._progress = progress
        self._metrics = JsonlSink(run_directory.metrics_file, resume_from)
        self._sinks: list[MetricsSink] = [self._metrics]
        self._wandb: WandbSink | None = None
        if config.run.wandb != "disabled":
            self._wandb = WandbSink(run_directory.path, config, notify=progress.note)
            self._sinks.append(self._wandb)
        self._table = EvaluationTable(
            run_directory.evaluation_file, task_parameter_names, resume_from, value_names
        )
        self._last_checkpoint = resume_from if resume_from > 0 else None

    def meta_iteration(
        self,
        state: TrainerState,
        summary: EpisodeSummary,
        stats: MetaUpdateStats,
        clock: StageClock,
        validation: AdaptationCurve | None,
    ) -> None:
        """Records a meta-iteration, and the validation that followed it, if any.

        Raises:
            RunDirectoryError: the run directory is no longer this process's.
            LineFileError: the disk is full, for example.
        """
        record = metrics_record(state, summary, stats, clock, validation)
        self.write(record, validation)

    def write(
        self, record: Mapping[str, Any], validation: AdaptationCurve | SupervisedCurve | None
    ) -> None:
        """Hands a flat record of numbers to every sink and to the screen.

        Args:
            record: its ``meta_iteration`` counts the completed meta-iterations.
            validation: what followed it, if anything.

        Raises:
            RunDirectoryError, LineFileError: as ``meta_iteration``.
        """
        self._run_directory.check_is_ours()
        if validation is not None:
            self.evaluation(record["meta_iteration"], Split.VALIDATION, validation)
        for sink in self._sinks:
            sink.write(record)
        self._progress.meta_iteration(record)

    def note(self, text: str) -> None:
        """Says something on the screen."""
        self._progress.note(text)

    def evaluation(
        self, meta_iteration: int, split: Split, curve: AdaptationCurve | SupervisedCurve
    ) -> None:
        """Adds every row of an evaluation to the table."""
        name = split.name.lower()
        if isinstance(curve, SupervisedCurve):
            self._table.write_rows(meta_iteration, name, curve.task, curve.rows())
        else:
            self._table.write(meta_iteration, name, curve.task, curve.episode_return)
        if self._wandb is not None:
            self._wandb.evaluation(meta_iteration, name, curve)

    def checkpoint(self, state: TrainerState | SupervisedState) -> None:
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
        for sink in self._sinks:
            sink.close()
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def metrics_record(
    state: TrainerState,
    summary: EpisodeSummary,
    stats: MetaUpdateStats,
    clock: StageClock,
    validation: AdaptationCurve | None,
) -> dict[str, Any]:
    """One flat line of numbers: returns per adaptation step, the update, the cost."""
    record: dict[str, Any] = {
        "meta_iteration": state.meta_iteration,
        **_curve_entries("train", summary.curve),
        "kl": stats.kl,
        "max_kl": stats.max_kl,
        "accepted": stats.accepted,
        "line_search": stats.reason,
        "num_backtracks": stats.num_backtracks,
        "surrogate_before": stats.surrogate_before,
        "surrogate_after": stats.surrogate_after,
        "gradient_norm": stats.gradient_norm,
        "residual_norm": stats.residual_norm,
        "num_diverged_episodes": summary.num_diverged,
        "env_steps": state.env_steps,
        "env_steps_per_second": summary.env_steps / clock.seconds["sampling"],
        **{f"seconds_{name}": seconds for name, seconds in clock.seconds.items()},
        "seconds_total": state.seconds,
    }
    if summary.success_rate is not None:
        record["train_success_rate"] = summary.success_rate.tolist()
    if "log_std" in state.meta_params:
        record["policy_std"] = float(state.meta_params["log_std"].exp().mean())
    if validation is not None:
        record |= _curve_entries("validation", validation)
        record["validation_score"] = validation.score
        record["is_best"] = state.best is not None and (
            state.best.meta_iteration == state.meta_iteration
        )
    return record


def _curve_entries(prefix: str, curve: AdaptationCurve) -> dict[str, Any]:
    return {
        f"{prefix}_return": curve.mean.tolist(),
        f"{prefix}_return_interval": curve.interval.tolist(),
    }
