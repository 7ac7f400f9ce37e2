"""Spaces that a policy fits: from vectors to actions in [-1, 1], or to choices."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from envs.flat_observation import can_be_flat
from envs.wrapper_layers import layers


def space_problem(env: gymnasium.Env[Any, Any]) -> str | None:
    """Why no policy fits an environment's spaces and what would help, or None."""
    problem = _observation_problem(env.observation_space)
    return problem or _action_problem(env.action_space, [type(e).__name__ for e in layers(env)])


def is_vector(space: gymnasium.Space[Any]) -> bool:
    """Whether observations are vectors of numbers as they are; bytes are to be scaled."""
    return isinstance(space, Box) and len(space.shape) == 1 and space.dtype != np.uint8


def _observation_problem(space: gymnasium.Space[Any]) -> str | None:
    flattened = "; env.flatten_observations=true makes a vector of it"
    if not isinstance(space, Box):
        way_out = flattened if can_be_flat(space) else ""
        return f"the observation space must be a Box, not {space}{way_out}"
    if len(space.shape) != 1:
        return f"the observation space must be a vector, not of shape {space.shape}{flattened}"
    if space.shape == (0,):
        return "the observation space has no entries"
    return None


def _action_problem(space: gymnasium.Space[Any], layer_names: list[str]) -> str | None:
    if isinstance(space, Discrete | MultiDiscrete):
        return _choice_problem(space)
    if not isinstance(space, Box):
        way_out = ""
        if isinstance(space, MultiBinary) and len(space.shape) == 1:
            way_out = f"; MultiDiscrete([2] * {space.shape[0]}) says the same"
        return f"the action space must be a Box, Discrete or MultiDiscrete, not {space}{way_out}"
    if len(space.shape) != 1:
        return f"the action space must be a vector, not of shape {space.shape}"
    if space.shape == (0,):
        return "the action space has no entries"
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        way_out = "declare bounds, outside of which actions are clipped"
        if "ClipAction" in layer_names:
            way_out = "leave out its wrapper ClipAction, since actions are clipped as it is"
        return f"the action space must have finite bounds, not {space}; {way_out}"
    if np.dtype(space.dtype).kind != "f":
        return (
            f"the action space has type {space.dtype}, but a policy's actions are of type float32, "
            "and a cast would cut their fractions off; declare a Box of floats and round in step"
        )
    if (space.low >= space.high).all():
        return f"the action space leaves no choice: its bounds are equal, {space}"
    return None


def _choice_problem(space: Discrete | MultiDiscrete) -> str | None:
    assert space.shape is not None
    if len(space.shape) > 1:
        return f"the action space must have one axis, not the shape {space.shape}"
    if space.shape == (0,):
        return "the action space has no entries"
    if np.max(space.n if isinstance(space, Discrete) else space.nvec) < 2:
        return f"the action space leaves no choice: {space}"
    return None
