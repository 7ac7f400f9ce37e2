"""Starting, resuming and finishing a training run, as the commands do it."""

import shlex
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from meta_rl.config import AnyConfig, ConfigError, load_config
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.curves.supervised_curve import SupervisedCurve
from meta_rl.problems.evaluation_tasks import TaskOrigin
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    checkpoint_path,
    find_checkpoints,
    load_checkpoint,
    repair_best,
)
from meta_rl.runs.earlier_validations import forget_validation, set_validations_aside
from meta_rl.runs.plain_line import print_line
from meta_rl.runs.progress import Progress
from meta_rl.runs.run_directory import (
    RunDirectory,
    create_run_directory,
    is_finished,
    open_run_directory,
)
from meta_rl.runs.run_log import RunLog, SilentLog
from meta_rl.runtime.ranks import ALONE, Ranks
from meta_rl.runtime.seeding import Split
from meta_rl.training.run_kinds import changed_score_settings, changed_settings, kind_of
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
        tasks: what may be said of these tasks.
    """

    path: Path
    curves: dict[str, Curve]
    tasks: TaskOrigin


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

    On the same device the result is bit-identical to that of a run that was never interrupted, and
    of one that was as long from the start. Where other settings give the validation scores another
    meaning, earlier scores are set aside, and the best iteration so far is validated again.

    Args:
        path: the run directory.
        config: the run's settings, perhaps with more iterations or another device.
        console: where progress is shown.
        ranks: the processes that share the tasks, perhaps another number of them.

    Raises:
        ConfigError: the run has gone further already than the settings ask for, or there is nothing
            to train with the settings that differ.
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
        state, before = kind.initial_state(experiment), config
        checkpoint = ranks.from_first(lambda: _newest_checkpoint(path, state.model))
        if checkpoint is not None:
            for warning in checkpoint.warnings:
                print_line(console, warning)
            _check_same_problem(checkpoint, config)
            state = kind.restore(checkpoint, experiment.device)
            _check_meta_iterations(config.run.meta_iterations, state, path)
            before = checkpoint.config
            if config.run.meta_iterations == state.meta_iteration:
                ranks.from_first(lambda: _check_not_in_vain(path, before, config))
        ended_at = None
        if config.run.meta_iterations > state.meta_iteration:
            ended_at = state.validations.end
            state = replace(state, validations=state.validations.of_longer_run())
        outdated = changed_score_settings(before, config)
        if run_directory is not None:
            repair_best(path, state.best)
            changed = changed_settings(before, config)
            changed.pop("run.dir", None)
            run_directory.record_resume(config, state.meta_iteration, changed)
            if outdated:
                set_validations_aside(path, state.meta_iteration)
            elif ended_at is not None:
                log_every = getattr(config.run, "log_every", 1)  # a supervised run's alone
                forget_validation(path, ended_at, log_every)
        return _run(experiment, run_directory, state, console, outdated)


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
    """Refuses a shorter run, and one that would end with an iteration that was not validated."""
    completed = state.meta_iteration
    if wanted < completed or (wanted == completed and state.validations.last != completed):
        raise ConfigError(
            f"run.meta_iterations ({wanted}) should be greater than the {completed} "
            f"meta-iterations that {path} has completed"
        )


def _check_not_in_vain(path: Path, before: AnyConfig, config: AnyConfig) -> None:
    """Refuses other settings where nothing is left to train with them.

    A run that was stopped while it was tested may go on elsewhere; a finished one stays as it is.
    """
    if is_finished(path):
        # Without run.dir, which the file never holds.
        changed = {*changed_settings(load_config(str(path / "config.yaml")), config)} - {"run.dir"}
    else:
        old, new = _effects(before), _effects(config)
        changed = {name for name in old | new if old.get(name) != new.get(name)}
    if changed:
        raise ConfigError(
            f"{path} has completed its {config.run.meta_iterations} meta-iterations, so nothing "
            f"would be trained with another {' and '.join(sorted(changed))}; ask for more "
            "run.meta_iterations, or train a new run"
        )


def _run(
    experiment: Any,
    run_directory: RunDirectory | None,
    state: Any,
    console: Console,
    outdated: Sequence[str] = (),
) -> TrainingResult:
    """Trains and evaluates; only the first rank has a run directory and reports.

    ``outdated`` names settings that have changed since the best iteration was validated.
    """
    config = experiment.config
    kind, completed = kind_of(config), state.meta_iteration
    if run_directory is None:
        return _train_and_test(experiment, state, SilentLog(), None, outdated)
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
                result = _train_and_test(experiment, state, log, path, outdated)
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
    experiment: Any,
    state: Any,
    log: RunLog | SilentLog,
    path: Path | None,
    outdated: Sequence[str],
) -> TrainingResult:
    """Trains, then evaluates the initial policy and the best one on tasks that chose nothing.

    Args:
        experiment: the settings and what they stand for.
        state: where to start.
        log: where numbers and checkpoints go.
        path: the run directory, on the first rank.
        outdated: as ``_run``.
    """
    kind = kind_of(experiment.config)
    if outdated:
        state = _validated_again(experiment, state, log, path, outdated)
    state = kind.train(experiment, state, log)

    def load_best() -> tuple[Path, Checkpoint]:
        assert path is not None
        assert state.best is not None
        kept = checkpoint_path(path, state.best.meta_iteration)
        return path, load_checkpoint(kept, kind.initial_state(experiment).model)

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
    origin = kind.test_origin(experiment, next(iter(curves.values())).task)
    return TrainingResult(path, curves, origin)


def _validated_again(
    experiment: Any,
    state: Any,
    log: RunLog | SilentLog,
    path: Path | None,
    outdated: Sequence[str],
) -> Any:
    """The state with the score that its best iteration has under the settings now in force.

    Where its checkpoint cannot be read, it no longer competes.
    """
    best, kind = state.best, kind_of(experiment.config)
    reason = f"Validation scores have another meaning with another {' and '.join(outdated)}"
    if best is None:
        return replace(state, validations=state.validations.only(None))

    def load() -> Checkpoint | None:
        assert path is not None
        try:
            kept = checkpoint_path(path, best.meta_iteration)
            return load_checkpoint(kept, experiment.initial_params)
        except CheckpointError as error:
            log.note(f"{reason}; iteration {best.meta_iteration} no longer competes: {error}")
            return None

    checkpoint = experiment.ranks.from_first(load)
    if checkpoint is None:
        return replace(state, validations=state.validations.only(None))
    log.note(f"{reason}, so iteration {best.meta_iteration}, the best so far, is validated again.")
    saved = kind.restore(checkpoint, experiment.device)
    curve = kind.evaluate(experiment, saved, Split.VALIDATION)
    log.evaluation(best.meta_iteration, Split.VALIDATION, curve)
    best = replace(best, score=curve.score)
    if path is not None:
        repair_best(path, best)
    return replace(state, validations=state.validations.only(best))
