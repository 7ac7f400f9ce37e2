"""What a user's environment says about its tasks: names, range, all of them, those for testing."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from envs.readable import described
from envs.task_env import FloatArray
from envs.user_fault import EnvRefused, InvalidReturn
from envs.wrapper_layers import outermost


@dataclass(frozen=True)
class TaskDeclarations:
    """Attributes of the same names, checked; see `TaskVectorEnv`."""

    task_parameter_names: tuple[str, ...]
    task_range: FloatArray | None
    finite_tasks: FloatArray | None
    test_tasks: FloatArray | None


def task_declarations(env: gymnasium.Env[Any, Any]) -> TaskDeclarations:
    """What the outermost layers of an environment declare.

    Raises:
        EnvRefused: a declaration is of another form than it should be.
    """
    names = outermost(env, "task_parameter_names")
    if names is None:
        width = drawn_tasks(env, 1, np.random.default_rng(0)).shape[1]
        names = tuple(f"task_{i}" for i in range(width))
    names = _checked_names(names)
    finite_tasks = _task_table(env, "finite_tasks", len(names))
    test_tasks = _task_table(env, "test_tasks", len(names))
    if finite_tasks is not None and test_tasks is not None:
        is_test = rows_in(finite_tasks, test_tasks)
        if not rows_in(test_tasks, finite_tasks).all():
            raise EnvRefused("test_tasks must be some of finite_tasks")
        if is_test.all():
            raise EnvRefused("test_tasks must leave some of finite_tasks for training")
    return TaskDeclarations(names, _task_range(env, len(names)), finite_tasks, test_tasks)


def drawn_tasks(
    env: gymnasium.Env[Any, Any], num_tasks: int, rng: np.random.Generator
) -> FloatArray:
    """What `sample_tasks` of the outermost layer that has it returns.

    Returns:
        Float64 [num_tasks, task_parameter], finite.

    Raises:
        EnvRefused: it cannot be called with a number and a generator.
        InvalidReturn: it returns something else.
    """
    sample_tasks = env.get_wrapper_attr("sample_tasks")
    check_takes(sample_tasks, "sample_tasks", "num_tasks", "rng")
    tasks: Any = sample_tasks(num_tasks, rng)
    wanted = f"it should return an array [{num_tasks}, task_parameter]"
    try:
        array = np.asarray(tasks)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise InvalidReturn("sample_tasks", f"returned {described(tasks)}; {wanted}")
    if array.ndim != 2 or len(array) != num_tasks or array.shape[1] == 0:
        raise InvalidReturn("sample_tasks", f"returned an array of shape {array.shape}; {wanted}")
    drawn = array.astype(np.float64)
    if not np.isfinite(drawn).all():
        row = int(np.flatnonzero(~np.isfinite(drawn).all(axis=1))[0])
        raise InvalidReturn(
            "sample_tasks", f"returned a task that is not finite, {drawn[row].tolist()}"
        )
    return drawn


def check_takes(method: Any, name: str, *parameters: str) -> None:
    """Refuse a method that cannot be called with so many positional arguments."""
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # Built-in code need not say.
        return
    try:
        signature.bind(*parameters)
    except TypeError:
        wanted = ", ".join(parameters)
        raise InvalidReturn(name, f"should take ({wanted}), not {signature}") from None


def rows_in(rows: FloatArray, table: FloatArray) -> np.ndarray:
    """Which of `rows` [row, entry] are rows of `table` [other, entry], bool [row]."""
    return (rows[:, None] == table[None]).all(-1).any(-1)


def _checked_names(names: Any) -> tuple[str, ...]:
    """Names that can head the columns of a table."""
    if isinstance(names, str):
        raise EnvRefused(
            f"task_parameter_names must be a tuple of names, not the string {names!r}: "
            f"({names!r},) is one with a single name"
        )
    checked = tuple(names) if isinstance(names, Sequence | np.ndarray) else (None,)
    sound = all(isinstance(name, str) and name and name.isprintable() for name in checked)
    if not checked or not sound or len(set(checked)) < len(checked):
        raise EnvRefused(
            f"task_parameter_names must be different names in printable letters, not {names!r}"
        )
    return tuple(str(name) for name in checked)


def _task_range(env: gymnasium.Env[Any, Any], num_parameters: int) -> FloatArray | None:
    """The least and the greatest value of each parameter, [2, task_parameter], if stated."""
    stated = outermost(env, "task_range")
    if stated is None:
        return None
    task_range = _numbers(stated)
    if (
        task_range is None
        or task_range.shape != (2, num_parameters)
        or (np.diff(task_range, axis=0) < 0).any()
    ):
        raise EnvRefused(
            f"task_range must hold the least and the greatest value of each of the "
            f"{num_parameters} task parameters, [2, {num_parameters}], not {stated!r}"
        )
    return task_range


def _task_table(env: gymnasium.Env[Any, Any], name: str, num_parameters: int) -> FloatArray | None:
    """Different tasks [task, task_parameter], if stated."""
    stated = outermost(env, name)
    if stated is None:
        return None
    tasks = _numbers(stated)
    if (
        tasks is None
        or tasks.ndim != 2
        or tasks.shape[1] != num_parameters
        or len(tasks) == 0
        or len(np.unique(tasks, axis=0)) < len(tasks)
    ):
        raise EnvRefused(
            f"{name} must hold a row for each task, all different, [task, {num_parameters}], "
            f"not {described(stated)}"
        )
    return tasks


def _numbers(stated: Any) -> FloatArray | None:
    """As float64, or None where an entry is no finite number."""
    try:
        numbers = np.array(stated, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None
