"""Which tasks an evaluation uses: held-out draws, an even grid, or a file's."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meta_rl.rollouts.environments import ShardedEnv
from meta_rl.training.seeding import RandomStreams, Split

MAX_GRID_SIZE = 10_000


class TaskSelectionError(ValueError):
    """Tasks that cannot be had; the message is one sentence."""


def sampled_tasks(env: ShardedEnv, num_tasks: int, seed: int) -> np.ndarray:
    """Test tasks, which training never draws: those of a run's end for the run's own settings.

    Args:
        env: of any size.
        num_tasks: how many.
        seed: ``evaluation.seed``.

    Returns:
        [num_tasks, P].
    """
    streams = RandomStreams(seed, Split.TEST, meta_iteration=0)
    return env.sample_test_tasks(num_tasks, streams.task_generator())


def grid_of_tasks(env: ShardedEnv, num_values: int) -> np.ndarray:
    """An even grid over the task range, both ends included; all tasks where they are finite.

    Args:
        env: of any size.
        num_values: values of each task parameter, at least 2.

    Returns:
        [num_values ** P, P], the last parameter varying fastest.

    Raises:
        TaskSelectionError: the environment does not say what its range is, or the grid would
            have more than ``MAX_GRID_SIZE`` tasks.
    """
    if num_values < 2:
        raise TaskSelectionError(f"a grid needs at least 2 values per parameter, not {num_values}")
    if env.finite_tasks is not None:
        return env.finite_tasks.copy()
    if env.task_range is None:
        raise TaskSelectionError(
            "the environment has no task_range [2, task_parameter], over which a grid could lie"
        )
    if num_values ** env.task_range.shape[1] > MAX_GRID_SIZE:
        raise TaskSelectionError(
            f"a grid of {num_values} values for each of {env.task_range.shape[1]} task parameters "
            f"has more than {MAX_GRID_SIZE:,} tasks"
        )
    axes = [np.linspace(low, high, num_values) for low, high in env.task_range.T]
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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise TaskSelectionError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TaskSelectionError(f"{path} is not a text file in UTF-8") from None
    except csv.Error as error:
        raise TaskSelectionError(f"{path}, line {reader.line_num}: {error}") from None
    wanted = ",".join(task_parameter_names)
    if len(rows) < 2:
        raise TaskSelectionError(f"{path} should hold the header {wanted} and a line for each task")
    header = [name.strip() for name in rows[0][1]]
    if sorted(header) != sorted(task_parameter_names):
        raise TaskSelectionError(
            f"{path}, line {rows[0][0]}: the header should be {wanted}, not {','.join(header)}"
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


def _outside(env: ShardedEnv, tasks: np.ndarray) -> np.ndarray:
    """Bool [M]; nothing is outside of a range that is not known."""
    if env.finite_tasks is not None:
        return ~(tasks[:, None] == env.finite_tasks).all(-1).any(-1)
    if env.task_range is None:
        return np.zeros(len(tasks), dtype=bool)
    low, high = env.task_range
    return ((tasks < low) | (tasks > high)).any(-1)


def _described_range(env: ShardedEnv) -> str:
    if env.finite_tasks is not None:
        tasks = (", ".join(f"{value:g}" for value in task) for task in env.finite_tasks)
        return f"the tasks {' | '.join(tasks)}"
    assert env.task_range is not None
    ends = zip(env.task_parameter_names, *env.task_range, strict=True)
    return ", ".join(f"{name} in [{low:g}, {high:g}]" for name, low, high in ends)


def _numbers(path: Path, line: int, row: Sequence[str], header: Sequence[str]) -> list[float]:
    if len(row) != len(header):
        raise TaskSelectionError(
            f"{path}, line {line}: there are {len(row)} columns, not {len(header)} "
            f"({','.join(header)})"
        )
    numbers = []
    for column, (name, text) in enumerate(zip(header, row, strict=True), start=1):
        try:
            number = float(text)
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise TaskSelectionError(
                f"{path}, line {line}, column {column} ({name}): {text.strip()!r} is not a "
                "finite number"
            )
        numbers.append(number)
    return numbers
