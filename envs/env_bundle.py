"""The worker's side of a user's environments: several of them, in one process, as one.

Gymnasium's AsyncVectorEnv runs one environment per process; hundreds of processes would be
slow. Here the one environment of a process is a bundle: its observation is a dictionary of
batched arrays, so that observations, rewards and flags all travel in shared memory.
Exceptions of a user's code come back as data, see `user_fault.py`.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.task_env import ActionSpace
from envs.user_code_worker import UserCodeWorker
from envs.user_fault import UserFault, fault_from

NOT_SAID = -1  # of a success, which an environment need not speak of


def bundle_observation_space(observation_space: Box, num_slots: int) -> Dict:
    """The space of `num_slots` observations, rewards and flags."""
    return Dict(
        {
            "observation": batch_space(observation_space, num_slots),
            "reward": Box(-np.inf, np.inf, (num_slots,), np.float64),
            "terminated": Box(0, 1, (num_slots,), np.int8),
            "truncated": Box(0, 1, (num_slots,), np.int8),
            "diverged": Box(0, 1, (num_slots,), np.int8),
            "success": Box(NOT_SAID, 1, (num_slots,), np.int8),
        }
    )


class EnvBundle(UserCodeWorker):
    """Environments `first_env`, ..., `first_env + count - 1` of a vector environment.

    All bundles have the same number of slots; slots past `count` are padding and stay zero.
    The environments are made on request, not in the constructor, so that the parent can
    construct a bundle for its spaces without running a user's code.
    """

    def __init__(
        self,
        recipe: bytes,
        first_env: int,
        count: int,
        num_slots: int,
        observation_space: Box,
        action_space: ActionSpace,
    ) -> None:
        """Describe a bundle; `recipe` stays closed until the first call."""
        super().__init__(recipe, first_env)
        space = bundle_observation_space(observation_space, num_slots)
        self.observation_space = space
        self.action_space = batch_space(action_space, num_slots)
        self._count = count
        # Found once, since looking through the layers takes longer than calling them.
        self._set_task: list[Callable[[NDArray[np.float64]], Any]] = []
        self._innermost: list[gymnasium.Env[Any, Any]] = []
        self._state: dict[str, Any] = {
            name: np.zeros(entry.shape or (), entry.dtype) for name, entry in space.spaces.items()
        }

    def make_next(self) -> UserFault | None:
        """Make one more environment, if one is missing."""
        slot = len(self.made)
        if slot >= self._count:
            return None
        try:
            self.made.append(self.recipe())
            self._set_task.append(self.made[slot].get_wrapper_attr("set_task"))
            self._innermost.append(self.made[slot].unwrapped)
        except BaseException as error:
            return fault_from(error, None, self._first_env + slot)
        return None

    def set_tasks(self, tasks: NDArray[np.float64]) -> UserFault | None:
        """Give the environments their rows of `tasks` [num_envs, task_parameter]."""

        def set_task(slot: int) -> None:
            self._set_task[slot](tasks[self._first_env + slot].copy())

        return self._for_each(range(self._count), set_task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset the environments of `options["mask"]`, with `options["seeds"]`.

        Both have one entry per environment of the vector environment.
        """
        assert options is not None
        seeds, mask = options["seeds"], options["mask"]

        def reset_one(slot: int) -> None:
            observation, _ = self.made[slot].reset(seed=seeds[self._first_env + slot])
            self._store(slot, observation, 0.0, False, False, False)

        chosen = [slot for slot in range(self._count) if mask[self._first_env + slot]]
        return self._state, {"fault": self._for_each(chosen, reset_one)}

    def step(
        self, action: NDArray[Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Step the environments whose episode is running; `action` [slot, action]."""
        state = self._state
        running = np.flatnonzero(~(state["terminated"] | state["truncated"]).astype(np.bool_))
        state["reward"][:] = 0.0
        state["success"][:] = NOT_SAID

        def step_one(slot: int) -> None:
            step = self.made[slot].step(action[slot])
            observation, reward, terminated, truncated, info = step
            if info.get("diverged", False) or _mujoco_diverged(self._innermost[slot]):
                last = state["observation"][slot].copy()
                self._store(slot, last, 0.0, True, False, True)
            else:
                self._store(slot, observation, float(reward), terminated, truncated, False)
            success = info.get("success")
            if success is not None:
                state["success"][slot] = success

        running_slots = [int(slot) for slot in running if slot < self._count]
        return state, 0.0, False, False, {"fault": self._for_each(running_slots, step_one)}

    def _for_each(self, slots: Iterable[int], act: Callable[[int], None]) -> UserFault | None:
        """Call `act` for each slot; stop at the first exception and return it as data."""
        slot = 0
        try:
            for slot in slots:
                act(slot)
        except BaseException as error:  # Whatever a user's code raises is the user's to read.
            return fault_from(error, self.made[slot], self._first_env + slot)
        return None

    def _store(
        self,
        slot: int,
        observation: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        diverged: bool,
    ) -> None:
        """Write one environment's result."""
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
    data = getattr(env, "data", None)
    if mujoco is None or not isinstance(data, mujoco.MjData):
        return False
    kinds = mujoco.mjtWarning
    unstable = (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC)
    return any(data.warning[int(kind)].number for kind in unstable)
