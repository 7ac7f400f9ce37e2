"""Spaces that a policy from vectors to actions in [-1, 1] fits."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Tuple

from envs.wrapper_layers import layers


def space_problem(env: gymnasium.Env[Any, Any]) -> str | None:
    """Why the policy does not fit an environment's spaces and what would help, or None."""
    problem = _observation_problem(env.observation_space)
    return problem or _action_problem(env.action_space, [type(e).__name__ for e in layers(env)])


def _observation_problem(space: gymnasium.Space[Any]) -> str | None:
    flattened = "; gymnasium.wrappers.FlattenObservation makes it one"
    if not isinstance(space, Box):
        way_out = flattened if isinstance(space, Dict | Tuple) else ""
        return f"the observation space must be a Box, not {space}{way_out}"
    if len(space.shape) != 1:
        return f"the observation space must be a vector, not of shape {space.shape}{flattened}"
    if space.shape == (0,):
        return "the observation space has no entries"
    return None


def _action_problem(space: gymnasium.Space[Any], layer_names: list[str]) -> str | None:
    if not isinstance(space, Box):
        return f"the action space must be a Box, not {space}"
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
