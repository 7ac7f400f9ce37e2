"""Starting, resuming and finishing a training run, as the commands do it."""

import shlex
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from meta_rl.config import (
    AnyConfig,
    ConfigError,
    Effect,
    changed_settings,
    load_config,
)
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.problems.problem import Problem
from meta_rl.problems.registry import make_problem
from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.best_checkpoint import CheckpointError, checkpoint_path, repair_best
from meta_rl.runs.checkpoint import (
    Checkpoint,
    find_checkpoints,
    load_checkpoint,
    with_fitting_params,
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
from meta_rl.runs.trainer_state import TrainerState, restore, scored_otherwise
from meta_rl.runtime.ranks import ALONE, Ranks
from meta_rl.runtime.seeding import Split
from meta_rl.training.loop import train
from meta_rl.types import Params

# What a run's numbers depend on.
_NUMBERS = (Effect.PROBLEM, Effect.NUMBERS, Effect.TRAINING)


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run has to show.

    Attributes:
        path: the run directory.
        curves: adaptation curves on the test tasks, by the name of the policy.
        tasks: what may be said of these tasks.
    """

    path: Path
    curves: dict[str, AdaptationCurve]
    tasks: TaskOrigin


def start_run(
    config: AnyConfig, name: str, console: Console, ranks: Ranks = ALONE
) -> TrainingResult:
    """Trains from scratch in a new run directory.

    Raises:
        RunDirectoryError: the directory exists or cannot be written.
        DatasetError, DeviceError, EnvironmentFault, NumericalError, AlgorithmError, RankError: as
            ``make_problem`` and ``train``.
    """
    with make_problem(config, ranks) as problem:
        state = problem.initial_state()
        with (
            create_run_directory(config, name) if ranks.is_first else nullcontext()
        ) as run_directory:
            return _run(problem, run_directory, state, console)


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
    # For how long it is trained may differ.
    differing = sorted({*changed_settings(before, config, _NUMBERS)} - {"run.meta_iterations"})
    if differing:
        raise ConfigError(
            f"{path} is a run with another {differing[0]}; move it or choose another folder"
        )
    if not is_finished(path) or before.run.meta_iterations != config.run.meta_iterations:
        resume_run(path, config, console)


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
        DatasetError, DeviceError, EnvironmentFault, NumericalError, AlgorithmError, RankError: as
            ``make_problem`` and ``train``.
    """
    with (
        open_run_directory(path) if ranks.is_first else nullcontext() as run_directory,
        make_problem(config, ranks) as problem,
    ):
        state, before, outdated = problem.initial_state(), config, []
        checkpoint = ranks.from_first(lambda: _newest_checkpoint(path, config, state.model))
        if checkpoint is not None:
            for warning in checkpoint.warnings:
                print_line(console, warning)
            state = restore(checkpoint, state, problem.device)
            _check_meta_iterations(config.run.meta_iterations, state, path)
            before = checkpoint.config
            if config.run.meta_iterations == state.meta_iteration:
                ranks.from_first(lambda: _check_not_in_vain(path, before, config))
            outdated = list(changed_settings(before, config, (Effect.NUMBERS,)))
            if scored_otherwise(checkpoint):
                outdated.append("version of this program")
        ended_at = None
        if config.run.meta_iterations > state.meta_iteration:
            ended_at = state.validations.end
            state = replace(state, validations=state.validations.of_longer_run())
        if run_directory is not None:
            repair_best(path, state.best)
            changed = changed_settings(before, config)
            changed.pop("run.dir", None)
            run_directory.record_resume(config, state.meta_iteration, changed)
            if outdated:
                set_validations_aside(path, state.meta_iteration)
            elif ended_at is not None:
                forget_validation(path, ended_at, config.run.log_every)
        return _run(problem, run_directory, state, console, outdated)


def _newest_checkpoint(path: Path, config: AnyConfig, expected_params: Params) -> Checkpoint | None:
    """The one to go on from; None where a run has not written anything yet that could be lost."""
    metrics = path / "metrics.jsonl"
    if not find_checkpoints(path) and not (metrics.exists() and metrics.stat().st_size > 0):
        return None
    checkpoint = load_checkpoint(path)
    _check_same_problem(checkpoint, config)
    return with_fitting_params(checkpoint, expected_params)


def _check_same_problem(checkpoint: Checkpoint, config: AnyConfig) -> None:
    """Refuses to go on with other tasks, network or algorithm than the checkpoint's."""
    if checkpoint.config.task_section != config.task_section:
        raise CheckpointError(f"{checkpoint.path} is of another kind of run")
    changed = changed_settings(checkpoint.config, config, (Effect.PROBLEM,))
    # Sections of another algorithm come with its name.
    name = "algorithm.name" if "algorithm.name" in changed else min(changed, default=None)
    if name is not None:
        before, now = changed[name]
        raise CheckpointError(
            f"{checkpoint.path} was trained with another {name}: {before}, not {now}"
        )


def _check_meta_iterations(wanted: int, state: TrainerState, path: Path) -> None:
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
        changed = {*changed_settings(before, config, _NUMBERS)}
    if changed:
        raise ConfigError(
            f"{path} has completed its {config.run.meta_iterations} meta-iterations, so nothing "
            f"would be trained with another {' and '.join(sorted(changed))}; ask for more "
            "run.meta_iterations, or train a new run"
        )


def _run(
    problem: Problem,
    run_directory: RunDirectory | None,
    state: TrainerState,
    console: Console,
    outdated: Sequence[str] = (),
) -> TrainingResult:
    """Trains and evaluates; only the first rank has a run directory and reports.

    ``outdated`` names what has changed the meaning of scores since the last validation.
    """
    config, completed = problem.config, state.meta_iteration
    if run_directory is None:
        return _train_and_test(problem, state, SilentLog(), None, outdated)
    path = run_directory.path
    progress = Progress(
        console, config.run.meta_iterations, problem.row_format, num_completed=completed
    )
    with RunLog(
        run_directory,
        config,
        problem.task_parameter_names,
        progress,
        resume_from=completed,
        value_names=problem.value_names,
    ) as log:
        progress.note(f"Training {problem.title} on {problem.device} in {path}")
        try:
            with progress:
                result = _train_and_test(problem, state, log, path, outdated)
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
    problem: Problem,
    state: TrainerState,
    log: RunLog | SilentLog,
    path: Path | None,
    outdated: Sequence[str],
) -> TrainingResult:
    """Trains, then evaluates the initial policy and the best one on tasks that chose nothing.

    Args:
        problem: what is learned.
        state: where to start.
        log: where numbers and checkpoints go.
        path: the run directory, on the first rank.
        outdated: as ``_run``.
    """
    initial = problem.initial_state()
    if outdated:
        state = _validated_again(problem, state, log, path, outdated)
    state = train(problem, state, log)

    def load_best() -> tuple[Path, Checkpoint]:
        assert path is not None
        assert state.best is not None
        kept = checkpoint_path(path, state.best.meta_iteration)
        return path, load_checkpoint(kept, initial.model)

    path, best = problem.ranks.from_first(load_best)
    states = {
        0: ("untrained", initial),
        best.meta_iteration: (
            f"iteration {best.meta_iteration}",
            restore(best, initial, problem.device),
        ),
    }
    curves = {}
    for meta_iteration, (name, tested) in states.items():
        curves[name] = problem.evaluate(tested, Split.TEST)
        log.evaluation(meta_iteration, Split.TEST, curves[name])
    origin = problem.test_origin(next(iter(curves.values())).task)
    return TrainingResult(path, curves, origin)


def _validated_again(
    problem: Problem,
    state: TrainerState,
    log: RunLog | SilentLog,
    path: Path | None,
    outdated: Sequence[str],
) -> TrainerState:
    """The state with the score that its best iteration has under the settings now in force.

    Where its checkpoint cannot be read, it no longer competes.
    """
    initial, best = problem.initial_state(), state.best
    reason = f"Validation scores have another meaning with another {' and '.join(outdated)}"
    if best is None:
        return replace(state, validations=state.validations.only(None))

    meta_iteration = best.meta_iteration

    def load() -> Checkpoint | None:
        assert path is not None
        try:
            return load_checkpoint(checkpoint_path(path, meta_iteration), initial.model)
        except CheckpointError as error:
            log.note(f"{reason}; iteration {meta_iteration} no longer competes: {error}")
            return None

    checkpoint = problem.ranks.from_first(load)
    if checkpoint is None:
        return replace(state, validations=state.validations.only(None))
    log.note(f"{reason}, so iteration {best.meta_iteration}, the best so far, is validated again.")
    saved = restore(checkpoint, initial, problem.device)
    curve = problem.evaluate(saved, Split.VALIDATION)
    log.evaluation(best.meta_iteration, Split.VALIDATION, curve)
    best = replace(best, score=curve.score)
    if path is not None:
        repair_best(path, best)
    return replace(state, validations=state.validations.only(best))
