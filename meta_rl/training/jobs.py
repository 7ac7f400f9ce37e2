"""Starting, resuming and finishing a training run, as the commands do it."""

import shlex
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from meta_rl.config import AnyConfig, ConfigError, load_config
from meta_rl.training.adaptation_curve import AdaptationCurve
from meta_rl.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    checkpoint_path,
    find_checkpoints,
    load_checkpoint,
    repair_best,
)
from meta_rl.training.ranks import ALONE, Ranks
from meta_rl.training.record.atomic_files import write_text_atomically
from meta_rl.training.record.plain_line import print_line
from meta_rl.training.record.progress import Progress
from meta_rl.training.record.run_directory import (
    RunDirectory,
    create_run_directory,
    is_finished,
    open_run_directory,
)
from meta_rl.training.record.run_log import RunLog, SilentLog
from meta_rl.training.run_kinds import kind_of
from meta_rl.training.seeding import Split
from meta_rl.training.supervised_curve import SupervisedCurve
from meta_rl.types import Params

Curve = AdaptationCurve | SupervisedCurve
# Settings on which no number of a run depends.
_WITHOUT_EFFECT = ("rollout.num_threads", "rollout.step_timeout", "meta_update.steps_per_chunk")


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run has to show.

    Attributes:
        path: the run directory.
        curves: adaptation curves on the test tasks, by the name of the policy.
    """

    path: Path
    curves: dict[str, Curve]


def start_run(
    config: AnyConfig, name: str, console: Console, ranks: Ranks = ALONE
) -> TrainingResult:
    """Trains from scratch in a new run directory.

    Raises:
        RunDirectoryError: the directory exists or cannot be written.
        DatasetError, DeviceError, EnvironmentFault, NumericalError, RankError: as the kind's
            experiment and its loop.
    """
    kind = kind_of(config)
    with (
        kind.experiment(config, ranks) as experiment,
        create_run_directory(config, name) if ranks.is_first else nullcontext() as run_directory,
    ):
        return _run(experiment, run_directory, kind.initial_state(experiment), console)


def complete_run(path: Path, config: AnyConfig, name: str, console: Console) -> None:
    """Trains in ``path``: from scratch, from where an earlier call was stopped, or not at all.

    Args:
        path: the run directory, which need not exist.
        config: the run's settings; their ``run.dir`` is of no matter.
        name: what a new run is called.
        console: where progress is shown.

    Raises:
        ConfigError: the run that is there has other settings, or has gone further already.
        CheckpointError, RunDirectoryError and others: as ``start_run`` and ``resume_run``.
    """
    if not path.exists():
        run = config.run.model_copy(update={"dir": str(path)})
        start_run(config.model_copy(update={"run": run}), name, console)
        return
    before = load_config(str(path / "config.yaml"))
    differing = sorted(_effects(before).items() ^ _effects(config).items())
    if differing:
        raise ConfigError(
            f"{path} is a run with another {differing[0][0]}; move it or choose another folder"
        )
    if not is_finished(path) or before.run.meta_iterations != config.run.meta_iterations:
        resume_run(path, config, console)


def _effects(config: AnyConfig) -> dict[str, str]:
    """The settings that decide on a run's numbers, by dotted name, but for how long it is."""
    return {
        f"{section}.{key}": repr(value)
        for section, values in config.model_dump(mode="json").items()
        for key, value in values.items()
        if (section != "run" or key == "seed") and f"{section}.{key}" not in _WITHOUT_EFFECT
    }


def resume_run(
    path: Path, config: AnyConfig, console: Console, ranks: Ranks = ALONE
) -> TrainingResult:
    """Continues a run from its newest readable checkpoint, or from its start if there is none yet.

    On the same device the result is bit-identical to that of a run that was never interrupted.
    (Where the shorter run was too short for a scheduled evaluation, it made one at its end, which
    the longer one does not make.)

    Args:
        path: the run directory.
        config: the run's settings, perhaps with more iterations or another device.
        console: where progress is shown.
        ranks: the processes that share the tasks, perhaps another number of them.

    Raises:
        ConfigError: the run has gone further already than the settings ask for.
        CheckpointError: there is no readable checkpoint, or it is of another model.
        RunDirectoryError: it is not a run directory, or another process writes it.
        DatasetError, DeviceError, EnvironmentFault, NumericalError, RankError: as the kind's
            experiment and its loop.
    """
    kind = kind_of(config)
    with (
        open_run_directory(path) if ranks.is_first else nullcontext() as run_directory,
        kind.experiment(config, ranks) as experiment,
    ):
        state = kind.initial_state(experiment)
        checkpoint = ranks.from_first(lambda: _newest_checkpoint(path, experiment.initial_params))
        if checkpoint is not None:
            for warning in checkpoint.warnings:
                print_line(console, warning)
            _check_same_problem(checkpoint, config)
            state = kind.restore(checkpoint, experiment.device)
            _check_meta_iterations(config.run.meta_iterations, state, path)
        if run_directory is not None:
            repair_best(path, state.best)
            run_directory.record_resume(config)
        return _run(experiment, run_directory, state, console)


def _newest_checkpoint(path: Path, expected_params: Params) -> Checkpoint | None:
    """The one to go on from; None where a run has not written anything yet that could be lost."""
    metrics = path / "metrics.jsonl"
    if not find_checkpoints(path) and not (metrics.exists() and metrics.stat().st_size > 0):
        return None
    return load_checkpoint(path, expected_params)


def _check_same_problem(checkpoint: Checkpoint, config: AnyConfig) -> None:
    """Refuses to go on with other tasks or another network than the checkpoint was trained with."""
    if type(checkpoint.config) is not type(config):
        raise CheckpointError(f"{checkpoint.path} is of another kind of run")
    for name in kind_of(config).fixed_sections:
        before, now = getattr(checkpoint.config, name), getattr(config, name)
        if before != now:
            raise CheckpointError(
                f"{checkpoint.path} was trained with other settings of {name}: {before}, not {now}"
            )


def _check_meta_iterations(wanted: int, state: Any, path: Path) -> None:
    """Refuses a shorter run, and one that would end before its only evaluation."""
    completed = state.meta_iteration
    if wanted < completed or (wanted == completed and state.best is None):
        raise ConfigError(
            f"run.meta_iterations ({wanted}) should be greater than the {completed} "
            f"meta-iterations that {path} has completed"
        )


def _run(
    experiment: Any,
    run_directory: RunDirectory | None,
    state: Any,
    console: Console,
) -> TrainingResult:
    """Trains and evaluates; only the first rank has a run directory and reports."""
    config = experiment.config
    kind, completed = kind_of(config), state.meta_iteration
    if run_directory is None:
        return _train_and_test(experiment, state, SilentLog(), path=None)
    path = run_directory.path
    progress = Progress(console, config.run.meta_iterations, kind.columns, num_completed=completed)
    with RunLog(
        run_directory,
        config,
        kind.task_parameter_names(experiment),
        progress,
        resume_from=completed,
        value_names=kind.value_names,
    ) as log:
        progress.note(f"Training {kind.title(config)} on {experiment.device} in {path}")
        try:
            with progress:
                result = _train_and_test(experiment, state, log, path)
            run_directory.record_finish()
            return result
        except BaseException as error:
            if worker_traceback := getattr(error, "worker_traceback", ""):
                with suppress(OSError):  # a full disk must not hide what went wrong first
                    write_text_atomically(path / "worker_traceback.txt", worker_traceback)
                    progress.note(f"The worker's traceback is in {path / 'worker_traceback.txt'}")
            progress.note(f"{log.num_saved} meta-iterations are saved.")
            progress.note(f"Stopped. Resume with: meta-rl train --resume {shlex.quote(str(path))}")
            raise


def _train_and_test(
    experiment: Any, state: Any, log: RunLog | SilentLog, path: Path | None
) -> TrainingResult:
    """Trains, then evaluates the initial policy and the best one on tasks that chose nothing.

    Args:
        experiment: the settings and what they stand for.
        state: where to start.
        log: where numbers and checkpoints go.
        path: the run directory, on the first rank.
    """
    kind = kind_of(experiment.config)
    state = kind.train(experiment, state, log)

    def load_best() -> tuple[Path, Checkpoint]:
        assert path is not None
        assert state.best is not None
        kept = checkpoint_path(path, state.best.meta_iteration)
        return path, load_checkpoint(kept, experiment.initial_params)

    path, best = experiment.ranks.from_first(load_best)
    states = {
        0: ("untrained", kind.initial_state(experiment)),
        best.meta_iteration: (
            f"iteration {best.meta_iteration}",
            kind.restore(best, experiment.device),
        ),
    }
    curves = {}
    for meta_iteration, (name, state) in states.items():
        curves[name] = kind.evaluate(experiment, state, Split.TEST)
        log.evaluation(meta_iteration, Split.TEST, curves[name])
    return TrainingResult(path, curves)
