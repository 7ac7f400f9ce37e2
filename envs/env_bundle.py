"""The worker's side of a user's environments: several of them, in one process, as one.

Gymnasium's AsyncVectorEnv runs one environment per process; hundreds of processes would be
slow. Here the one environment of a process is a bundle: its observation is a dictionary of
batched arrays, so that observations, rewards and flags all travel in shared memory.
Exceptions of a user's code come back as data, because a worker that raises would leave the
parent with a message that names neither environment nor task.
"""

import importlib
import inspect
import pickle
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Dict
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.worker_processes import (
    be_quiet_without_parent,
    end_after_parent,
    leave_signals_to_parent,
)

# Seconds that environments have to close themselves once the parent is gone.
_CLOSING_PATIENCE = 2.0


@dataclass(frozen=True)
class UserEnvRecipe:
    """How to make one environment, in any process.

    Attributes:
        spec: the registration itself, since a worker does not see what only the parent has
            registered.
        module: what to import first ("module:Env-v0"), or None.
        max_episode_steps: time limit; None keeps the registration's.
        options: keyword arguments of the environment.
    """

    spec: EnvSpec
    module: str | None
    max_episode_steps: int | None
    options: Mapping[str, Any]

    def __call__(self) -> gymnasium.Env[Any, Any]:
        """Make the environment."""
        if self.module is not None:
            importlib.import_module(self.module)
        return gymnasium.make(
            self.spec,
            max_episode_steps=self.max_episode_steps,
            disable_env_checker=True,
            **self.options,
        )


@dataclass(frozen=True)
class UserFault:
    """An exception that a user's environment raised.

    Attributes:
        env_index: which environment of the vector environment.
        exception: type and message, "ZeroDivisionError: division by zero".
        location: the user's "file:line", or "" if it is not known.
        traceback: the full text.
    """

    env_index: int
    exception: str
    location: str
    traceback: str


def bundle_observation_space(observation_space: Box, num_slots: int) -> Dict:
    """The space of `num_slots` observations, rewards and flags."""
    return Dict(
        {
            "observation": batch_space(observation_space, num_slots),
            "reward": Box(-np.inf, np.inf, (num_slots,), np.float64),
            "terminated": Box(0, 1, (num_slots,), np.int8),
            "truncated": Box(0, 1, (num_slots,), np.int8),
            "diverged": Box(0, 1, (num_slots,), np.int8),
        }
    )


class EnvBundle(gymnasium.Env[dict[str, Any], NDArray[Any]]):
    """Environments `first_env`, ..., `first_env + count - 1` of a vector environment.

    All bundles have the same number of slots; slots past `count` are padding and stay zero.
    The environments are made at the first call, not in the constructor, so that the parent can
    construct a bundle for its spaces without running a user's code.
    """

    def __init__(
        self,
        pickled_recipe: bytes,
        first_env: int,
        count: int,
        num_slots: int,
        observation_space: Box,
        action_space: Box,
    ) -> None:
        """Describe a bundle; `pickled_recipe` stays closed until the first call."""
        space = bundle_observation_space(observation_space, num_slots)
        self.observation_space = space
        self.action_space = batch_space(action_space, num_slots)
        self._pickled_recipe = pickled_recipe
        self._first_env = first_env
        self._count = count
        self._is_ready = False
        self._envs: list[gymnasium.Env[Any, Any]] = []
        self._task_source: gymnasium.Env[Any, Any] | None = None
        self._state: dict[str, Any] = {
            name: np.zeros(entry.shape or (), entry.dtype) for name, entry in space.spaces.items()
        }

    def sample_tasks(
        self, num_tasks: int, rng: np.random.Generator
    ) -> NDArray[np.float64] | UserFault | None:
        """Draw tasks in the first bundle, from an environment that is never reset or stepped."""
        if self._first_env > 0:
            return None
        self._get_ready()
        try:
            if self._task_source is None:
                self._task_source = pickle.loads(self._pickled_recipe)()
            env: Any = self._task_source.unwrapped
            return np.asarray(env.sample_tasks(num_tasks, rng), dtype=np.float64)
        except Exception as error:
            return self._fault(0, error, self._task_source)

    def set_tasks(self, tasks: NDArray[np.float64]) -> UserFault | None:
        """Give the environments their rows of `tasks` [num_envs, task_parameter]."""

        def set_task(slot: int) -> None:
            env: Any = self._envs[slot].unwrapped
            env.set_task(tasks[self._first_env + slot].copy())

        return self._make_envs() or self._for_each(range(self._count), set_task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset the environments of `options["mask"]`, with `options["seeds"]`.

        Both have one entry per environment of the vector environment.
        """
        assert options is not None
        seeds, mask, state = options["seeds"], options["mask"], self._state

        def reset_one(slot: int) -> None:
            observation, _ = self._envs[slot].reset(seed=seeds[self._first_env + slot])
            self._store(slot, observation, 0.0, False, False, False)

        chosen = [slot for slot in range(self._count) if mask[self._first_env + slot]]
        fault = self._make_envs() or self._for_each(chosen, reset_one)
        return state, {"fault": fault}

    def step(
        self, action: NDArray[Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step the environments whose episode is running; `action` [slot, action]."""
        state = self._state
        running = np.flatnonzero(~(state["terminated"] | state["truncated"]).astype(np.bool_))
        state["reward"][:] = 0.0

        def step_one(slot: int) -> None:
            env = self._envs[slot]
            observation, reward, terminated, truncated, info = env.step(action[slot])
            if info.get("diverged", False) or _mujoco_diverged(env):
                last = state["observation"][slot].copy()
                self._store(slot, last, 0.0, True, False, True)
            else:
                self._store(slot, observation, float(reward), terminated, truncated, False)

        running_slots = [int(slot) for slot in running if slot < self._count]
        return state, 0.0, False, False, {"fault": self._for_each(running_slots, step_one)}

    def close(self) -> None:
        """Close the environments."""
        be_quiet_without_parent()
        for env in [*self._envs, *([self._task_source] if self._task_source else [])]:
            env.close()

    def _get_ready(self) -> None:
        """Arrange how this worker ends, before it runs any code of a user."""
        if not self._is_ready:
            self._is_ready = True
            leave_signals_to_parent()
            end_after_parent(_CLOSING_PATIENCE)

    def _make_envs(self) -> UserFault | None:
        """Make the environments unless they exist."""
        if self._envs:
            return None
        self._get_ready()

        def make(slot: int) -> None:
            self._envs.append(pickle.loads(self._pickled_recipe)())

        return self._for_each(range(self._count), make)

    def _for_each(self, slots: Iterable[int], act: Callable[[int], None]) -> UserFault | None:
        """Call `act` for each slot; stop at the first exception and return it as data."""
        slot = 0
        try:
            for slot in slots:
                act(slot)
        except Exception as error:  # Whatever a user's code raises is the user's to read.
            return self._fault(slot, error, self._envs[slot] if slot < len(self._envs) else None)
        return None

    def _fault(self, slot: int, error: Exception, env: gymnasium.Env[Any, Any] | None) -> UserFault:
        return UserFault(
            env_index=self._first_env + slot,
            exception=f"{type(error).__name__}: {error}",
            location=_user_location(error, env),
            traceback="".join(traceback.format_exception(error)),
        )

    def _store(
        self,
        slot: int,
        observation: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        diverged: bool,
    ) -> None:
        """Write one environment's result, refusing a shape that would broadcast."""
        expected = self._state["observation"].shape[1:]
        if np.shape(observation) != expected:
            raise ValueError(
                f"the observation has shape {np.shape(observation)}, its space {expected}"
            )
        self._state["observation"][slot] = observation
        self._state["reward"][slot] = reward
        self._state["terminated"][slot] = terminated
        self._state["truncated"][slot] = truncated
        self._state["diverged"][slot] = diverged


def _mujoco_diverged(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether MuJoCo has called the state unstable since the last reset.

    It has then put the simulation back to its initial state, in the middle of the episode.
    """
    mujoco = sys.modules.get("mujoco")
    data = getattr(env.unwrapped, "data", None)
    if mujoco is None or not isinstance(data, mujoco.MjData):
        return False
    kinds = mujoco.mjtWarning
    unstable = (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC)
    return any(data.warning[int(kind)].number for kind in unstable)


def _user_location(error: Exception, env: gymnasium.Env[Any, Any] | None) -> str:
    """The innermost line of the traceback in the file that defines the environment.

    Without such a line, the innermost line outside this file.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    if env is not None:
        try:
            source = inspect.getsourcefile(type(env.unwrapped))
        except TypeError:  # A class typed in at a prompt has no file.
            source = None
        frames = [f for f in frames if f.filename == source] or frames
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
