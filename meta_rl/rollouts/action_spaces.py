"""What policies have to know of an action space, and their actions as an environment takes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space


def num_choices(space: Space[Any]) -> tuple[int, ...]:
    """Of each component of a discrete action; empty for continuous actions."""
    if isinstance(space, Discrete):
        return (int(space.n),)
    if isinstance(space, MultiDiscrete):
        return tuple(space.nvec.tolist())
    return ()


def action_size(space: Space[Any]) -> int:
    """A, how many components the policy's actions have."""
    if isinstance(space, Box):
        return space.shape[0]
    return len(num_choices(space))


def environment_actions(space: Space[Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Maps a policy's actions [..., A] to those of the environment.

    The policy's [-1, 1] becomes the environment's box, and what lies outside is clipped. Choices,
    which the policy counts from zero, are counted from the space's ``start``; those of a
    ``Discrete`` space lose the action axis.
    """
    if isinstance(space, Discrete):
        return lambda action: (action[..., 0] + space.start).astype(space.dtype)
    if isinstance(space, MultiDiscrete):
        return lambda action: (action + space.start).astype(space.dtype)
    assert isinstance(space, Box)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    centre, half_width = (high + low) / 2.0, (high - low) / 2.0

    def rescale(action: np.ndarray) -> np.ndarray:
        return np.clip(centre + half_width * action, low, high).astype(space.dtype)

    return rescale
