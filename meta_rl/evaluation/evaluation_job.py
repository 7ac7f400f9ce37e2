"""What ``meta-rl evaluate`` does between its options and its files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.config import Config
from meta_rl.evaluation.comparison import (
    Comparison,
    ComparisonError,
    Evaluator,
    PolicyGroup,
    as_reference,
    check_comparable,
    check_distinct,
    differing_settings,
    with_settings,
)
from meta_rl.evaluation.held_out_tasks import (
    TaskSelectionError,
    chosen_origin,
    extrapolation_warning,
    grid_of_tasks,
    read_tasks,
    sampled_tasks,
)
from meta_rl.evaluation.packaged_runs import find_run, is_packaged
from meta_rl.evaluation.saved_policy import SavedPolicy, load_policy, untrained_policy
from meta_rl.problems.baseline_note import evaluation_note
from meta_rl.problems.evaluation import Evaluation
from meta_rl.problems.evaluation_tasks import (
    TaskOrigin,
    finite_training_tasks,
    origin_of_test_tasks,
)
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
    """Policies of one setting, not evaluated yet; see ``PolicyGroup``."""

    name: str
    is_reference: bool
    policies: tuple[SavedPolicy, ...]


@dataclass(frozen=True)
class TaskChoice:
    """Which tasks; at most one of the three is given, none stands for the settings'.

    Attributes:
        num_tasks: draw so many.
        grid: values of each task parameter in an even grid.
        file: CSV of tasks.
    """

    num_tasks: int | None = None
    grid: int | None = None
    file: Path | None = None


def load_groups(
    runs: Sequence[Path],
    references: Sequence[str],
    settings: Mapping[str, Any],
    *,
    trust: bool = False,
) -> list[LoadedGroup]:
    """Loads runs and references and brings them to one evaluation, that of the first run.

    Args:
        runs: run directories or checkpoints.
        references: ``NAME=RUN``, or ``random``: the first run before its training. Those of one
            name are runs of one setting.
        settings: changes to the settings of the runs, by dotted name.
        trust: as ``load_policy``.

    Returns:
        The runs, then the references in the order of their names' first mention.

    Raises:
        CheckpointError: there is no policy to load.
        ComparisonError: a reference has another form, or policies cannot be compared.
        ConfigError: a setting is out of its range.
        EnvironmentFault: the environment cannot be made.
        UntrustedRunError: as ``load_policy``.
    """
    first = with_settings(load_policy(runs[0], trust=trust), settings, "command line")
    shared = {f"evaluation.{key}": value for key, value in first.config.evaluation}
    others = [
        with_settings(load_policy(run, trust=trust), {**shared, **settings}, "command line")
        for run in runs[1:]
    ]
    name = f"{len(runs)} runs" if others else first.path.resolve().name
    groups = [LoadedGroup(name, False, (first, *others))]
    for reference, paths in _paths_of_references(references).items():
        if reference == name:
            raise ComparisonError(f"the reference {reference} has the name of the runs")
        saved = [
            untrained_policy(first) if path is None else load_policy(path, trust=trust)
            for path in paths
        ]
        policies = [as_reference(policy, first.config) for policy in saved]
        groups.append(LoadedGroup(reference, True, tuple(policies)))
    check_comparable([policy for group in groups for policy in group.policies])
    for group in groups:
        check_distinct(group.policies)
    return groups


def compare(
    loaded: Sequence[LoadedGroup],
    choice: TaskChoice,
    note: Callable[[str], None],
    keep: Callable[[SavedPolicy, Evaluation], None] | None = None,
) -> Comparison:
    """Evaluates every policy on the same tasks.

    Args:
        loaded: the runs, then the references.
        choice: which tasks.
        note: called with a sentence where something begins or deserves a warning.
        keep: called with each policy and its episodes, of which only the returns stay otherwise.

    Raises:
        TaskSelectionError: there are no such tasks.
        CheckpointError, DeviceError, EnvironmentFault, NumericalError: as ``evaluate_policy``.
    """
    config = loaded[0].policies[0].config
    with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
        names = env.task_parameter_names
        tasks, origin = choose_tasks(env, choice, config)
        warnings = [
            extrapolation_warning(env, tasks),
            evaluation_note(config, env.single_observation_space.shape[0]),
        ]
    for group in loaded:
        warnings += [_mixture_warning(group), *(w for p in group.policies for w in p.warnings)]
    for warning in filter(None, warnings):
        note(f"Warning: {warning}")
    groups = []
    with closing(Evaluator(tasks)) as evaluator:
        for group in loaded:
            policies = []
            for saved in group.policies:
                note(
                    f"Evaluating {group.name}: {saved.path}, iteration {saved.meta_iteration}, "
                    f"on {len(tasks)} tasks"
                )
                policies.append(evaluator.evaluate(saved, keep))
            groups.append(PolicyGroup(group.name, group.is_reference, tuple(policies)))
    return Comparison(tuple(groups), names, origin, tuple(filter(None, warnings)))


def choose_tasks(
    env: ShardedEnv, choice: TaskChoice, config: Config
) -> tuple[np.ndarray, TaskOrigin]:
    """The tasks [M, P], and where they are from.

    Raises:
        TaskSelectionError: there are no such tasks, or more than one choice was made.
    """
    given = [name for name, value in vars(choice).items() if value is not None]
    if len(given) > 1:
        options = (f"--{name.replace('_', '-')}" for name in given)
        raise TaskSelectionError(f"choose one of {' and '.join(options)}")
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


def _mixture_warning(group: LoadedGroup) -> str | None:
    differing = differing_settings(group.policies)
    if not differing:
        return None
    return (
        f"the policies of {group.name} differ in more than their seed, so their mean mixes "
        f"settings: {', '.join(differing)}."
    )
