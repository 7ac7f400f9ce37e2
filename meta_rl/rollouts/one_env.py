"""A single Gymnasium environment, which holds one task, played by the sampler of training."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.policy_spaces import space_problem
from envs.task_env import EnvironmentFault, StepReturn, TaskVectorEnv
from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.rollouts.action_spaces import PolicySpaces
from meta_rl.rollouts.sampler import collect, single_torch_thread
from meta_rl.types import Params, RolloutBatch

# A single environment need not say what its task is.
_NO_TASK = np.zeros((1, 0))


def check_spaces(env: gymnasium.Env[Any, Any], spaces: PolicySpaces) -> None:
    """Refuses an environment that a policy does not fit.

    The bounds of the actions may be others.

    Raises:
        EnvironmentFault: its observations or actions are of another form.
    """
    if problem := space_problem(env):
        raise EnvironmentFault(f"no policy fits this environment: {problem}")
    found = PolicySpaces(env.observation_space.shape[0], env.action_space)  # type: ignore[index]
    if found.observation_size != spaces.observation_size:
        raise EnvironmentFault(
            f"the environment's observations have {found.observation_size} entries, where the "
            f"policy was trained with {spaces.observation_size}"
        )
    if (found.action_size, found.num_choices) != (spaces.action_size, spaces.num_choices):
        raise EnvironmentFault(
            f"the environment's actions are of {env.action_space}, where the policy was trained "
            f"with {spaces.action_space}"
        )


def collect_from(
    env: gymnasium.Env[Any, Any],
    policy: nn.Module,
    params: Params,
    *,
    reset_seeds: Sequence[int],
    noise: Tensor,
    normaliser: ObservationNormaliser | None = None,
) -> RolloutBatch:
    """Plays episodes one after another; each is what ``collect`` records of it.

    Args:
        env: holds the task, and fits the policy.
        policy: without memory.
        params: of the policy, [1, ...].
        reset_seeds: of each of E episodes.
        noise: standard normal [1, E, T, A]; T is the longest episode, and a limit of the
            environment's own may be shorter.
        normaliser: what the policy sees observations through; the batch holds them as they were.

    Returns:
        The episodes, M = 1, of a task without parameters.

    Raises:
        EnvironmentFault: an observation or reward is not finite.
        NumericalError: an action is not finite.
    """
    one = _OneEnv(env, horizon=noise.shape[2])
    with single_torch_thread():
        episodes = [
            collect(
                policy,
                params,
                one,
                _NO_TASK,
                reset_seeds=[seed],
                noise=noise[:, episode : episode + 1],
                normaliser=normaliser,
            )
            for episode, seed in enumerate(reset_seeds)
        ]
    return _joined_episodes(episodes)


class _OneEnv(TaskVectorEnv):
    """An environment as a batch of one, without tasks; an episode's end is the caller's to see."""

    def __init__(self, env: gymnasium.Env[Any, Any], horizon: int) -> None:
        assert isinstance(env.observation_space, Box)
        self.num_envs = 1
        self.task_parameter_names = ()
        self.single_observation_space = env.observation_space
        space: Any = env.action_space
        self.single_action_space = space
        self._env, self._horizon, self._time = env, horizon, 0

    def set_tasks(self, tasks: NDArray[np.float64]) -> None:
        """The environment holds its task."""

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Starts an episode from the one seed in ``seed``."""
        del options
        assert isinstance(seed, Sequence)
        self._time = 0
        observation, _ = self._env.reset(seed=seed[0])
        return self._checked("observation", observation), {}

    def step(self, actions: NDArray[Any]) -> StepReturn:
        """One step; the last one that the horizon allows is truncated."""
        observation, reward, terminated, truncated, info = self._env.step(actions[0])
        self._time += 1
        truncated = bool(truncated) or (self._time == self._horizon and not terminated)
        told: dict[str, Any] = {
            name: np.array([bool(info[name])]) for name in ("diverged", "success") if name in info
        }
        return (
            self._checked("observation", observation),
            self._checked("reward", reward),
            np.array([bool(terminated)]),
            np.array([truncated]),
            told,
        )

    @staticmethod
    def _checked(quantity: str, value: Any) -> NDArray[Any]:
        array = np.asarray(value, dtype=np.float64)[None]
        if not np.isfinite(array).all():
            raise EnvironmentFault(f"the environment returned a non-finite {quantity}: {value}")
        return array


def _joined_episodes(episodes: Sequence[RolloutBatch]) -> RolloutBatch:
    """One batch of the episodes [1, 1, ...] of a task."""
    joined: dict[str, Any] = {
        field.name: torch.cat([getattr(episode, field.name) for episode in episodes], dim=1)
        for field in fields(RolloutBatch)
        if isinstance(getattr(episodes[0], field.name), Tensor) and field.name != "success"
    }
    if any(episode.success is not None for episode in episodes):
        joined["success"] = torch.cat([_success(episode) for episode in episodes], dim=1)
    joined["num_diverged"] = sum(episode.num_diverged for episode in episodes)
    return replace(episodes[0], **joined)


def _success(episode: RolloutBatch) -> Tensor:
    return torch.zeros(1, 1, dtype=torch.bool) if episode.success is None else episode.success
