"""Checks of what callers pass to a vector environment: seeds, reset mask, tasks, actions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
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


def clipped_actions(actions: NDArray[Any], box: Box, num_envs: int) -> FloatArray:
    """A float64 copy of `actions` [num_envs, action], clipped to the box of one environment."""
    array = np.asarray(actions, dtype=np.float64)
    if array.shape != (num_envs, *box.shape):
        raise ValueError(f"actions must have shape {(num_envs, *box.shape)}, not {array.shape}.")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(num_envs, -1)).all(axis=1))[0]
        raise ValueError(f"actions must be finite, but that of environment {bad} is {array[bad]}.")
    return np.clip(array, box.low, box.high)


def describe_task(task: FloatArray, parameter_names: tuple[str, ...]) -> str:
    """A task for a message, such as "(goal_x=0.25, goal_y=-0.5)"."""
    entries = [f"{name}={value:.6g}" for name, value in zip(parameter_names, task, strict=True)]
    return f"({joined_entries(entries)})"
