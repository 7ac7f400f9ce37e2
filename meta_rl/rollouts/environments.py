"""Environments for the layers above, which do not import ``envs`` themselves."""

from typing import Any

import gymnasium
import numpy as np

from envs.registry import make_task_env, make_task_vector_env
from envs.task_env import EnvironmentFault, TaskVectorEnv
from meta_rl.config import Config

__all__ = ["EnvironmentFault", "TaskVectorEnv", "make_env", "make_single_env"]


def make_env(config: Config, num_envs: int) -> TaskVectorEnv:
    """The environment that the settings name, ``num_envs`` of them, with the rollout's horizon.

    Raises:
        EnvironmentFault: there is no such environment, it does not take these options, it has
            no tasks or spaces that are not vectors, or it fails to start.
    """
    try:
        env = make_task_vector_env(
            config.env.id,
            num_envs,
            max_episode_steps=config.rollout.horizon,
            num_threads=config.rollout.num_threads,
            timeout=config.rollout.step_timeout,
            options=config.env.options,
        )
    except ValueError as error:
        raise EnvironmentFault(f"env.id={config.env.id}: {error}") from error
    problem = _space_problem(env)
    if problem:
        env.close()
        raise EnvironmentFault(f"env.id={config.env.id}: {problem}")
    return env


def make_single_env(config: Config) -> gymnasium.Env[Any, Any]:
    """One environment that the settings name, in this process, with the rollout's horizon.

    Raises:
        EnvironmentFault: as ``make_env``.
    """
    try:
        return make_task_env(
            config.env.id,
            max_episode_steps=config.rollout.horizon,
            options=config.env.options,
        )
    except ValueError as error:
        raise EnvironmentFault(f"env.id={config.env.id}: {error}") from error


def _space_problem(env: TaskVectorEnv) -> str:
    """Why a policy from vectors to [-1, 1] does not fit these spaces, or ''."""
    observation, action = env.single_observation_space, env.single_action_space
    for name, space in (("observation", observation), ("action", action)):
        if len(space.shape) != 1:
            return f"the {name} space must be a vector, not of shape {space.shape}."
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        return f"the action space must have finite bounds, not {action}."
    return ""
