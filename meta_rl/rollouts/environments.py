"""Environments for the layers above, which do not import ``envs`` themselves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from envs.findings import Finding
from envs.registry import (
    check_task_env,
    make_task_env,
    make_task_vector_env,
    steps_in_threads,
)
from envs.task_env import EnvironmentFault, TaskVectorEnv
from envs.task_observation import TaskObservationEnv
from meta_rl.config import Config
from meta_rl.rollouts.sharded_env import ShardedEnv
from meta_rl.runtime.cpus import num_usable_cpus

__all__ = [
    "EnvironmentFault",
    "Finding",
    "ShardedEnv",
    "TaskVectorEnv",
    "check_env",
    "make_env",
    "make_single_env",
]

_LIMIT = "rollout.step_timeout"


def make_env(
    config: Config, num_tasks: int, num_episodes: int, *, check: bool = False
) -> ShardedEnv:
    """The environment that the settings name, for ``num_episodes`` at a time of each task.

    Its time limit is the rollout's horizon, or the smaller one of a user's registration. Where the
    simulator has threads, there are two shards, so that half the tasks are stepped while the
    policies of the other half act. That there are two does not depend on the number of threads,
    since a batched product may round differently for another number of tasks.

    Args:
        config: the settings.
        num_tasks: how many tasks.
        num_episodes: of each task.
        check: play a user's environment first, log warnings and refuse what cannot be trained on.

    Raises:
        EnvironmentFault: there is no such environment, it does not take these options, it has
            no tasks or spaces that no policy fits, or it fails to start.
    """
    num_threads = config.rollout.num_threads or _num_cpus_of_rank()
    num_shards = min(2, num_tasks) if steps_in_threads(config.env.id) else 1
    shards: list[TaskVectorEnv] = []
    try:
        for share in np.array_split(np.arange(num_tasks), num_shards):
            num_envs = len(share) * num_episodes
            shards.append(_make_shard(config, num_envs, -(-num_threads // num_shards), check))
    except BaseException:
        for shard in shards:
            shard.close()
        raise
    return ShardedEnv(tuple(shards), num_parallel=min(num_shards, num_threads))


@contextmanager
def _mistakes_named(config: Config) -> Iterator[None]:
    """Turns what an environment is refused for into a fault that names the setting."""
    try:
        yield
    except ValueError as error:
        raise EnvironmentFault(f"env.id={config.env.id}: {error}") from error


def _num_cpus_of_rank() -> int:
    """The CPUs, or this process's share of them where torchrun has started several."""
    return max(1, num_usable_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def check_env(config: Config) -> list[Finding]:
    """Plays the environment that the settings name for a moment, in a process of its own.

    Returns:
        What training would trip over, and what would make its results hard to repeat.

    Raises:
        EnvironmentFault: as ``make_env``.
    """
    with _mistakes_named(config):
        return check_task_env(
            config.env.id,
            max_episode_steps=config.rollout.horizon,
            timeout=config.rollout.step_timeout,
            limit=_LIMIT,
            options=config.env.options,
            flatten_observations=config.env.flatten_observations,
        )


def _make_shard(config: Config, num_envs: int, num_threads: int, check: bool) -> TaskVectorEnv:
    with _mistakes_named(config):
        env = make_task_vector_env(
            config.env.id,
            num_envs,
            max_episode_steps=config.rollout.horizon,
            num_threads=num_threads,
            timeout=config.rollout.step_timeout,
            limit=_LIMIT,
            check=check,
            options=config.env.options,
            flatten_observations=config.env.flatten_observations,
        )
    return TaskObservationEnv(env) if config.env.observe_task else env


def make_single_env(config: Config, *, frames: bool = False) -> gymnasium.Env[Any, Any]:
    """One environment that the settings name, in this process, with the rollout's horizon.

    Args:
        config: the settings.
        frames: let it draw pictures, if it says that it can.

    Raises:
        EnvironmentFault: as ``make_env``.
    """
    with _mistakes_named(config):
        return make_task_env(
            config.env.id,
            max_episode_steps=config.rollout.horizon,
            frames=frames,
            options=config.env.options,
            flatten_observations=config.env.flatten_observations,
        )
