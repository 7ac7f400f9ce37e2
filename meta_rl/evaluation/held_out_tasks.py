"""Which tasks an evaluation uses: test tasks, an even grid, or a file's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meta_rl.problems.evaluation_tasks import (
    TaskOrigin,
    are_among,
    evaluation_tasks,
    finite_training_tasks,
    stated_test_tasks,
    training_draws,
)
from meta_rl.reading import SentenceError, file_errors_as, parse_number, read_rows
from meta_rl.reading.plain_files import MIB
from meta_rl.rollouts.environments import ShardedEnv
from meta_rl.rollouts.task_words import joined_entries
from meta_rl.runtime.seeding import Split

MAX_GRID_SIZE = 10_000
_MAX_FILE_BYTES = 16 * MIB
_MAX_LISTED = 10


class TaskSelectionError(SentenceError):
    """Tasks that cannot be had; the message is one sentence."""


def sampled_tasks(env: ShardedEnv, num_tasks: int, seed: int) -> np.ndarray:
    """Test tasks: those of a run's end for the run's own settings.

    Args:
        env: of any size.
        num_tasks: how many.
        seed: ``evaluation.seed``.

    Returns:
        [num_tasks, P].
    """
    return evaluation_tasks(env, Split.TEST, num_tasks, seed)


def grid_of_tasks(env: ShardedEnv, num_values: int) -> np.ndarray:
    """An even grid over the task range, both ends included; all tasks where they are finite.

    A parameter of which most draws repeat a value has those values, and none between them.

    Args:
        env: of any size.
        num_values: values of each task parameter, at least 2.

    Returns:
        [num_values ** P, P], the last parameter varying fastest; fewer where a parameter has fewer
        values. Tasks that the environment keeps from training follow those that it trains on.

    Raises:
        TaskSelectionError: the environment does not say what its range is, or the grid would
            have more than ``MAX_GRID_SIZE`` tasks.
    """
    if num_values < 2:
        raise TaskSelectionError(f"a grid needs at least 2 values per parameter, not {num_values}")
    finite = finite_training_tasks(env)
    if finite is not None:
        kept = stated_test_tasks(env)
        return finite if kept is None else np.concatenate([finite, kept])
    if env.task_range is None:
        raise TaskSelectionError(
            "the environment has no task_range [2, task_parameter], over which a grid could lie"
        )
    if num_values ** env.task_range.shape[1] > MAX_GRID_SIZE:
        raise TaskSelectionError(
            f"a grid of {num_values} values for each of {env.task_range.shape[1]} task parameters "
            f"has more than {MAX_GRID_SIZE:,} tasks"
        )
    axes = [
        _grid_values(low, high, drawn, num_values)
        for low, high, drawn in zip(*env.task_range, training_draws(env).T, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def read_tasks(path: Path, task_parameter_names: Sequence[str]) -> np.ndarray:
    """Tasks from a CSV file whose header names the task parameters, in any order.

    Args:
        path: the file.
        task_parameter_names: of the environment.

    Returns:
        [M, P], in the environment's order of parameters.

    Raises:
        TaskSelectionError: it cannot be read or is not such a file; line and column are named.
    """
    with file_errors_as(TaskSelectionError):
        lines = read_rows(path, _MAX_FILE_BYTES, strict=True)
        rows = [(line, row) for line, row in lines if any(map(str.strip, row))]
    wanted = _header_in_words(task_parameter_names)
    if len(rows) < 2:
        raise TaskSelectionError(f"{path} should hold the header {wanted} and a line for each task")
    header = [name.strip() for name in rows[0][1]]
    if sorted(header) != sorted(task_parameter_names):
        raise TaskSelectionError(
            f"{path}, line {rows[0][0]}: the header should be {wanted}, "
            f"not {_header_in_words(header)}"
        )
    tasks = np.array([_numbers(path, line, row, header) for line, row in rows[1:]])
    return tasks[:, [header.index(name) for name in task_parameter_names]]


def extrapolation_warning(env: ShardedEnv, tasks: np.ndarray) -> str | None:
    """A sentence where tasks lie outside what the task distribution gives, else None.

    Args:
        env: of any size.
        tasks: [M, P].
    """
    outside = _outside(env, tasks)
    if not outside.any():
        return None
    count = np.count_nonzero(outside)
    verb = "lies" if count == 1 else "lie"
    return (
        f"{count} of {len(tasks)} tasks {verb} outside {_described_range(env)}, in which the "
        "policy was trained: what follows is extrapolation there."
    )


def chosen_origin(env: ShardedEnv, tasks: np.ndarray, words: str) -> TaskOrigin:
    """What may be said of tasks that a user has chosen.

    Args:
        env: of any size.
        tasks: [M, P].
        words: where they are from.
    """
    finite, kept = finite_training_tasks(env), stated_test_tasks(env)
    if kept is not None and are_among(tasks, kept).all():
        return TaskOrigin(f"{words}, held out from training", held_out=True)
    num_seen = 0 if finite is None else np.count_nonzero(are_among(tasks, finite))
    if num_seen == len(tasks):
        return TaskOrigin(f"{words}, seen in training", held_out=False)
    seen = f", {num_seen} of {len(tasks)} seen in training" if num_seen else ""
    return TaskOrigin(words + seen, held_out=False)


def _grid_values(low: float, high: float, drawn: np.ndarray, num_values: int) -> np.ndarray:
    """Even values of one parameter, or some of those that it can have, both ends among them."""
    values = np.unique(drawn)
    if len(values) > len(drawn) / 2:
        return np.linspace(low, high, num_values)
    chosen = np.linspace(0, len(values) - 1, min(num_values, len(values))).round().astype(int)
    return values[chosen]


def _outside(env: ShardedEnv, tasks: np.ndarray) -> np.ndarray:
    """Bool [M]; nothing is outside of a range that is not known, nor a test task of its own."""
    kept = stated_test_tasks(env)
    outside = _outside_training(env, tasks)
    return outside if kept is None else outside & ~are_among(tasks, kept)


def _outside_training(env: ShardedEnv, tasks: np.ndarray) -> np.ndarray:
    if env.finite_tasks is not None:
        return ~are_among(tasks, env.finite_tasks)
    if env.task_range is None:
        return np.zeros(len(tasks), dtype=bool)
    low, high = env.task_range
    return ((tasks < low) | (tasks > high)).any(-1)


def _described_range(env: ShardedEnv) -> str:
    if env.finite_tasks is not None:
        tasks = [joined_entries([f"{value:g}" for value in task]) for task in env.finite_tasks]
        more = f" and {len(tasks) - _MAX_LISTED} more" if len(tasks) > _MAX_LISTED else ""
        return f"the tasks {' | '.join(tasks[:_MAX_LISTED])}{more}"
    assert env.task_range is not None
    ends = zip(env.task_parameter_names, *env.task_range, strict=True)
    return joined_entries([f"{name} in [{low:g}, {high:g}]" for name, low, high in ends])


def _header_in_words(names: Sequence[str]) -> str:
    return joined_entries(names).replace(", ", ",")


def _numbers(path: Path, line: int, row: Sequence[str], header: Sequence[str]) -> list[float]:
    if len(row) != len(header):
        raise TaskSelectionError(
            f"{path}, line {line}: there are {len(row)} columns, not {len(header)} "
            f"({_header_in_words(header)})"
        )
    numbers = []
    for column, (name, text) in enumerate(zip(header, row, strict=True), start=1):
        try:
            number = parse_number(text)
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise TaskSelectionError(
                f"{path}, line {line}, column {column} ({name}): {text.strip()!r} is not a "
                "finite number"
            )
        numbers.append(number)
    return numbers
