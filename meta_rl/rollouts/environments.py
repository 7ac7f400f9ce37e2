"""Environments for the layers above, which do not import ``envs`` themselves."""

from envs.registry import make_task_vector_env
from envs.task_env import EnvironmentFault, TaskVectorEnv
from meta_rl.config import Config

__all__ = ["EnvironmentFault", "TaskVectorEnv", "make_env"]


def make_env(config: Config, num_envs: int) -> TaskVectorEnv:
    """The environment that the settings name, ``num_envs`` of them, with the rollout's horizon.

    Raises:
        EnvironmentFault: there is no such environment, it does not take these options, it has
            no tasks, or it fails to start.
    """
    try:
        return make_task_vector_env(
            config.env.id,
            num_envs,
            max_episode_steps=config.rollout.horizon,
            num_threads=config.rollout.num_threads,
            timeout=config.rollout.step_timeout,
            options=config.env.options,
        )
    except ValueError as error:
        raise EnvironmentFault(f"env.id={config.env.id}: {error}") from error
