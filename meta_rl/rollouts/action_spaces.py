"""What policies have to know of an action space, and their actions as an environment takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

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


class PolicySizes(Protocol):
    """What the architecture of a policy follows from."""

    @property
    def observation_size(self) -> int:
        """O."""

    @property
    def action_size(self) -> int:
        """A, the number of components of an action."""

    @property
    def num_choices(self) -> tuple[int, ...]:
        """Of each component of a discrete action; empty for continuous actions."""


@dataclass(frozen=True)
class PolicySpaces:
    """The spaces of an environment, without the environment; they are ``PolicySizes``.

    Attributes:
        observation_size: O, of an observation, which is a vector.
        action_space: a bounded ``Box`` with one axis, ``Discrete``, or ``MultiDiscrete``.
    """

    observation_size: int
    action_space: Space[Any]

    @property
    def action_size(self) -> int:
        """A, the number of components of an action."""
        return action_size(self.action_space)

    @property
    def num_choices(self) -> tuple[int, ...]:
        """Of each component of a discrete action; empty for continuous actions."""
        return num_choices(self.action_space)


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


def policy_actions(space: Space[Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Maps an environment's actions to those of a policy, [..., A]: ``environment_actions`` undone.

    What was clipped stays clipped. A component whose bounds are equal becomes 0. Choices become
    int64, and get an action axis where the space is ``Discrete``.
    """
    if isinstance(space, Discrete):
        return lambda action: (action - space.start).astype(np.int64)[..., None]
    if isinstance(space, MultiDiscrete):
        return lambda action: (action - space.start).astype(np.int64)
    assert isinstance(space, Box)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    centre, half_width = (high + low) / 2.0, (high - low) / 2.0
    inverse = np.divide(1.0, half_width, out=np.zeros_like(half_width), where=half_width > 0.0)
    return lambda action: (action - centre) * inverse
