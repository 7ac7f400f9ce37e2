"""What ``meta-rl evaluate`` does between its options and its files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.config import AnyConfig, Config
from meta_rl.evaluation.comparison import (
    Comparison,
    ComparisonError,
    EvaluatedModel,
    ModelGroup,
    as_reference,
    check_comparable,
    check_distinct,
    check_same_kind,
    differing_settings,
    evaluated_like,
)
from meta_rl.evaluation.evaluator import AdaptedTasks, Evaluator
from meta_rl.evaluation.held_out_tasks import (
    TaskSelectionError,
    chosen_origin,
    extrapolation_warning,
    grid_of_tasks,
    read_tasks,
    sampled_tasks,
)
from meta_rl.evaluation.packaged_runs import find_run, is_packaged
from meta_rl.evaluation.saved_model import SavedModel, load_model, untrained_model, with_settings
from meta_rl.problems.baseline_note import evaluation_note
from meta_rl.problems.evaluation import Evaluation
from meta_rl.problems.evaluation_tasks import finite_training_tasks, origin_of_test_tasks
from meta_rl.problems.supervised import HELD_OUT, described_tasks
from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.rollouts.environments import ShardedEnv, make_env
from meta_rl.runs.atomic_files import (
    NumberedFolder,
    new_folder,
    new_numbered_folder,
)
from meta_rl.runs.run_directory import is_sweep

RANDOM = "random"


@dataclass(frozen=True)
class LoadedGroup:
    """Models of one setting, not evaluated yet; see ``ModelGroup``."""

    name: str
    is_reference: bool
    models: tuple[SavedModel, ...]


@dataclass(frozen=True)
class TaskChoice:
    """Which tasks; at most one of the three is given, none stands for the settings'.

    Supervised tasks can only be drawn.

    Attributes:
        num_tasks: draw so many.
        grid: values of each task parameter in an even grid.
        file: CSV of tasks.
    """

    num_tasks: int | None = None
    grid: int | None = None
    file: Path | None = None


@dataclass(frozen=True)
class TestTasks:
    """The tasks of a comparison.

    Attributes:
        title: what they are, in a word.
        parameter_names: of their entries.
        origin: where they are from.
        tasks: [M, P] of an environment; None where settings draw them with their examples.
        number: M.
        warnings: sentences that belong to the numbers.
    """

    title: str
    parameter_names: tuple[str, ...]
    origin: TaskOrigin
    tasks: np.ndarray | None
    number: int
    warnings: tuple[str, ...] = ()


def load_groups(
    runs: Sequence[Path],
    references: Sequence[str],
    settings: Mapping[str, Any],
    *,
    trust: bool = False,
) -> list[LoadedGroup]:
    """Loads runs and references and brings them to one evaluation, that of the first run.

    Several runs of an environment are seeds of one setting, and one group; several on supervised
    tasks are methods, each a group of its own.

    Args:
        runs: run directories or checkpoints.
        references: ``NAME=RUN``, or ``random``: the first run before its training. Those of one
            name are runs of one setting.
        settings: changes to the settings of the runs, by dotted name.
        trust: as ``load_model``.

    Returns:
        The runs, then the references in the order of their names' first mention.

    Raises:
        CheckpointError: there is no model to load.
        ComparisonError: a reference has another form, or models cannot be compared.
        ConfigError: a setting is out of its range.
        DatasetError, EnvironmentFault: the tasks cannot be had.
        UntrustedRunError: as ``load_model``.
    """
    first = with_settings(load_model(runs[0], trust=trust), settings, "command line")
    loaded = [load_model(run, trust=trust) for run in runs[1:]]
    check_same_kind([first, *loaded])
    models = [first, *(evaluated_like(model, first.config, settings) for model in loaded)]
    if isinstance(first.config, Config):
        name = f"{len(runs)} runs" if loaded else first.name
        groups = [LoadedGroup(name, False, tuple(models))]
    else:
        groups = [LoadedGroup(model.name, False, (model,)) for model in models]
        _check_names([group.name for group in groups])
    names = {group.name for group in groups}
    for reference, paths in _paths_of_references(references).items():
        if reference in names:
            raise ComparisonError(f"the reference {reference} has the name of the runs")
        saved = [
            untrained_model(first) if path is None else load_model(path, trust=trust)
            for path in paths
        ]
        check_same_kind([first, *saved])
        policies = [as_reference(model, first.config) for model in saved]
        groups.append(LoadedGroup(reference, True, tuple(policies)))
    check_comparable([model for group in groups for model in group.models])
    for group in groups:
        check_distinct(group.models)
    return groups


def compare(
    loaded: Sequence[LoadedGroup],
    choice: TaskChoice,
    note: Callable[[str], None],
    keep: Callable[[SavedModel, Evaluation | AdaptedTasks], None] | None = None,
) -> Comparison:
    """Evaluates every model on the same tasks.

    Args:
        loaded: the runs, then the references.
        choice: which tasks.
        note: called with a sentence where something begins or deserves a warning.
        keep: called with each model and all that it did, of which only the curve stays otherwise.

    Raises:
        TaskSelectionError: there are no such tasks.
        CheckpointError, DatasetError, DeviceError, EnvironmentFault, NumericalError: as
            ``Evaluator``.
    """
    tested = chosen_test_tasks(loaded[0].models[0].config, choice)
    warnings = [*tested.warnings]
    for group in loaded:
        warnings += filter(None, [_mixture_warning(group)])
        warnings += [warning for model in group.models for warning in model.warnings]
    for warning in warnings:
        note(f"Warning: {warning}")
    groups = []
    with closing(Evaluator(tested.tasks)) as evaluator:
        for group in loaded:
            models = []
            for saved in group.models:
                note(
                    f"Evaluating {group.name}: {saved.path}, iteration {saved.meta_iteration}, "
                    f"on {tested.number} tasks"
                )
                found = evaluator.evaluate(saved)
                if keep is not None:
                    keep(saved, found)
                models.append(EvaluatedModel(saved, found.step_sizes, found.curve, found.env_steps))
            groups.append(ModelGroup(group.name, group.is_reference, tuple(models)))
    return Comparison(
        tested.title, tuple(groups), tested.parameter_names, tested.origin, tuple(warnings)
    )


def chosen_test_tasks(config: AnyConfig, choice: TaskChoice) -> TestTasks:
    """The tasks of a comparison.

    Args:
        config: the settings of the first run.
        choice: which tasks.

    Raises:
        TaskSelectionError: there are no such tasks, or more than one choice was made.
        EnvironmentFault: the environment cannot be made.
    """
    given = [f"--{k.replace('_', '-')}" for k, value in vars(choice).items() if value is not None]
    if len(given) > 1:
        raise TaskSelectionError(f"choose one of {' and '.join(given)}")
    number = config.evaluation.num_tasks
    if not isinstance(config, Config):
        if given and choice.num_tasks is None:
            raise TaskSelectionError(
                f"{given[0]} is for runs of reinforcement learning, which this is not"
            )
        tasks = described_tasks(config)
        return TestTasks(tasks.title, tasks.parameter_names, HELD_OUT, None, number)
    with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
        chosen, origin = choose_tasks(env, choice, config)
        warnings = (
            extrapolation_warning(env, chosen),
            evaluation_note(config, env.observation_size),
        )
        names = env.task_parameter_names
    kept = tuple(warning for warning in warnings if warning)
    return TestTasks(config.env.id, names, origin, chosen, len(chosen), kept)


def choose_tasks(
    env: ShardedEnv, choice: TaskChoice, config: Config
) -> tuple[np.ndarray, TaskOrigin]:
    """The tasks [M, P], and where they are from.

    Raises:
        TaskSelectionError: there are no such tasks.
    """
    if choice.grid is not None:
        tasks = grid_of_tasks(env, choice.grid)
        is_finite = finite_training_tasks(env) is not None
        words = "every known task" if is_finite else "an even grid over the task range"
        return tasks, chosen_origin(env, tasks, words)
    if choice.file is not None:
        tasks = read_tasks(choice.file, env.task_parameter_names)
        return tasks, chosen_origin(env, tasks, f"the tasks of {choice.file}")
    evaluation = config.evaluation
    tasks = sampled_tasks(env, evaluation.num_tasks, evaluation.seed)
    origin = origin_of_test_tasks(env, tasks, config.run.seed)
    return tasks, replace(origin, words=f"{origin.words}, drawn with seed {evaluation.seed}")


def evaluation_folder(runs: Sequence[Path], kind: str = "evaluation") -> Path:
    """An unused place for an evaluation: in the folder of a user's single run or sweep, else here.

    Args:
        runs: run directories or checkpoints.
        kind: of evaluation, the first word of the folder's name.
    """
    folder = Path()
    if len(runs) == 1 and not is_packaged(runs[0]):
        places = (runs[0], *runs[0].absolute().parents[:2])
        homes = (path for path in places if is_sweep(path) or (path / "config.yaml").is_file())
        folder = next(homes, folder)
    stem = f"{kind}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = folder / stem, 2
    while path.exists():
        path, number = folder / f"{stem}-{number}", number + 1
    return path


@contextmanager
def output_folder(out: Path | None, folder: Path) -> Iterator[NumberedFolder]:
    """The folder that a command fills.

    Args:
        out: as the user wants it.
        folder: where ``out`` is None, this or the next free name.

    Raises:
        NewFolderError: ``out`` exists, or writing fails.
    """
    if out is None:
        with new_numbered_folder(folder) as numbered:
            yield numbered
    else:
        with new_folder(out) as temporary:
            yield NumberedFolder(temporary, out)


def _paths_of_references(references: Sequence[str]) -> dict[str, list[Path | None]]:
    """The runs of each reference by name; None stands for the untrained policy."""
    paths: dict[str, list[Path | None]] = {}
    for reference in references:
        name, equals, path = reference.partition("=")
        if not name or (equals and not path) or (not equals and name != RANDOM):
            raise ComparisonError(
                f"the reference {reference!r} should be NAME=RUN, or {RANDOM} alone"
            )
        paths.setdefault(name, []).append(find_run(Path(path)) if equals else None)
    return paths


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ComparisonError(
                f"two of the runs are called {name}, so that a reader mixes them up"
            )


def _mixture_warning(group: LoadedGroup) -> str | None:
    differing = differing_settings(group.models)
    if not differing:
        return None
    return (
        f"the policies of {group.name} differ in more than their seed, so their mean mixes "
        f"settings: {', '.join(differing)}."
    )
