"""Checks of what callers pass to a vector environment: seeds, reset mask, tasks, actions."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from envs.task_env import BoolArray, FloatArray
from envs.task_words import joined_entries


def seed_of_each_env(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """One seed per environment, by Gymnasium's rule that an integer s means s, s + 1, ..."""
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(
            f"seed must have one entry for each of {num_envs} environments, not {len(seed)}."
        )
    return [None if s is None else int(s) for s in seed]


def reset_mask_from(options: Mapping[str, Any] | None, num_envs: int) -> BoolArray:
    """The environments to reset, bool [num_envs]: `options["reset_mask"]`, or all of them."""
    if options is None or "reset_mask" not in options:
        return np.ones(num_envs, dtype=np.bool_)
    mask = options["reset_mask"]
    if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (num_envs,)):
        raise ValueError(f"options['reset_mask'] must be a boolean array of shape ({num_envs},).")
    if not mask.any():
        raise ValueError("options['reset_mask'] must select at least one environment.")
    return mask


def checked_tasks(
    tasks: FloatArray, num_tasks: int, parameter_names: tuple[str, ...]
) -> FloatArray:
    """A float64 copy of `tasks`, which must be finite and [num_tasks, task_parameter]."""
    checked = np.array(tasks, dtype=np.float64)
    shape = (num_tasks, len(parameter_names))
    if checked.shape != shape:
        raise ValueError(
            f"tasks must have shape {shape}, a row of ({joined_entries(parameter_names)}) "
            f"for each environment, not {checked.shape}."
        )
    if not np.isfinite(checked).all():
        row, column = np.argwhere(~np.isfinite(checked))[0]
        raise ValueError(
            f"tasks must be finite, but {parameter_names[column]} of task {row} is "
            f"{checked[row, column]}."
        )
    return checked


def checked_actions(
    actions: NDArray[Any], space: gymnasium.Space[Any], num_envs: int
) -> NDArray[Any]:
    """A copy of `actions` that one environment's action space allows.

    Args:
        actions: [num_envs, action]; [num_envs] for a `Discrete` space.
        space: of one environment.
        num_envs: how many environments.

    Returns:
        float64, clipped to the bounds of a `Box`; int64 for a `Discrete` or `MultiDiscrete` space.

    Raises:
        ValueError: the shape is wrong, an entry is not finite, or a choice is none of the space's.
    """
    array = np.asarray(actions)
    assert space.shape is not None
    if array.shape != (num_envs, *space.shape):
        raise ValueError(f"actions must have shape {(num_envs, *space.shape)}, not {array.shape}.")
    if isinstance(space, Box):
        number = array.astype(np.float64)
        _refuse_rows(number, np.isfinite(number), "be finite")
        clipped: FloatArray = np.clip(number, space.low, space.high)
        return clipped
    assert isinstance(space, Discrete | MultiDiscrete)
    first = np.asarray(space.start)
    count = np.asarray(space.n if isinstance(space, Discrete) else space.nvec)
    # Compared as they came: a cast would make a choice of what is none.
    _refuse_rows(
        array,
        (array == np.round(array)) & (array >= first) & (array < first + count),
        f"be choices of {space}",
    )
    return array.astype(np.int64)


def _refuse_rows(array: NDArray[Any], is_good: NDArray[Any], must: str) -> None:
    """ValueError that names the first environment with an entry that is not good."""
    if is_good.all():
        return
    row = int(np.flatnonzero(~is_good.reshape(len(array), -1).all(axis=1))[0])
    raise ValueError(f"actions must {must}, but that of environment {row} is {array[row]}.")


def describe_task(task: FloatArray, parameter_names: tuple[str, ...]) -> str:
    """A task for a message, such as "(goal_x=0.25, goal_y=-0.5)"."""
    entries = [f"{name}={value:.6g}" for name, value in zip(parameter_names, task, strict=True)]
    return f"({joined_entries(entries)})"
