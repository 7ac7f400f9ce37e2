"""An environment that shows its task: what an oracle learns in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.task_env import FloatArray, StepReturn, TaskVectorEnv


class TaskObservationEnv(TaskVectorEnv):
    """Appends the task in force to every observation; all else is the inner environment's.

    A policy that sees the task has nothing to infer, so its return bounds what adaptation can
    reach: the oracle of Finn, Abbeel, Levine 2017 (arXiv 1703.03400), section 5.3.
    """

    def __init__(self, inner: TaskVectorEnv) -> None:
        """Takes over `inner`, whose observations are vectors, and closes it in the end."""
        self._inner = inner
        self.num_envs = inner.num_envs
        self.metadata = inner.metadata
        self.task_parameter_names = inner.task_parameter_names
        self.task_range = inner.task_range
        self.finite_tasks = inner.finite_tasks
        self.test_tasks = inner.test_tasks
        space = inner.single_observation_space
        # Any task may be set, so its entries have no bounds; they need a type with fractions.
        dtype = np.result_type(space.dtype, np.float32).type
        unbounded = np.full(len(self.task_parameter_names), np.inf)
        self.single_observation_space = Box(
            np.concatenate((space.low, -unbounded)).astype(dtype),
            np.concatenate((space.high, unbounded)).astype(dtype),
            dtype=dtype,
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.single_action_space = inner.single_action_space
        self.action_space = inner.action_space

    @property
    def unwrapped(self) -> Any:  # a TaskVectorEnv; Gymnasium types it as this very class
        """The environment that does not show its task."""
        return self._inner

    @property
    def tasks(self) -> FloatArray:
        """A copy of the tasks in force, [num_envs, task_parameter]."""
        return self._inner.tasks

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw tasks, float64 [num_tasks, task_parameter]."""
        return self._inner.sample_tasks(num_tasks, rng)

    def set_tasks(self, tasks: FloatArray) -> None:
        """Give each environment its task; see `TaskVectorEnv.set_tasks`."""
        self._inner.set_tasks(tasks)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start new episodes; see `TaskVectorEnv.reset`."""
        observation, info = self._inner.reset(seed=seed, options=options)
        return self._with_task(observation), info

    def step(self, actions: NDArray[Any]) -> StepReturn:
        """Step the environments whose episode is running; see `TaskVectorEnv`."""
        observation, reward, terminated, truncated, info = self._inner.step(actions)
        return self._with_task(observation), reward, terminated, truncated, info

    def close_extras(self, **options: Any) -> None:
        """Close the inner environment."""
        self._inner.close(**options)

    def _with_task(self, observation: NDArray[Any]) -> NDArray[Any]:
        """[num_envs, observation] -> [num_envs, observation + task_parameter]."""
        shown = np.concatenate((observation, self._inner.tasks), axis=1)
        return shown.astype(self.single_observation_space.dtype, copy=False)
