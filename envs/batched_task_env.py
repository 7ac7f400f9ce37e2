"""A `TaskVectorEnv` put together from a robot's dynamics and a task family."""

from collections.abc import Sequence
from typing import Any, Generic

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.task_env import (
    Dynamics,
    FloatArray,
    IntArray,
    MotionT,
    StepReturn,
    TaskFamily,
    TaskVectorEnv,
)
from envs.vector_arguments import (
    checked_actions,
    checked_tasks,
    reset_mask_from,
    seed_of_each_env,
)


class BatchedTaskEnv(TaskVectorEnv, Generic[MotionT]):
    """Episodes, tasks and rewards around simulations that are stepped together.

    Attributes:
        dynamics: the simulations.
        family: the task distribution and its reward.
        generators: the generator of each environment's initial states, list of num_envs.
    """

    def __init__(
        self,
        dynamics: Dynamics[MotionT],
        family: TaskFamily[MotionT],
        max_episode_steps: int | None = None,
    ) -> None:
        """Compose an environment; `max_episode_steps` truncates, None is no time limit."""
        self.dynamics = dynamics
        self.family = family
        self.task_parameter_names = family.parameter_names
        self.task_range = family.task_range
        self.finite_tasks = family.finite_tasks
        self.num_envs = dynamics.num_simulations
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}
        self.single_observation_space = dynamics.observation_space
        self.single_action_space = dynamics.action_space
        self.observation_space = batch_space(dynamics.observation_space, self.num_envs)
        self.action_space = batch_space(dynamics.action_space, self.num_envs)
        self.generators: list[np.random.Generator] = [
            seeding.np_random()[0] for _ in range(self.num_envs)
        ]
        self._max_episode_steps = max_episode_steps
        self._tasks = family.sample(self.num_envs, np.random.default_rng(0))
        self._observation = np.zeros((self.num_envs, *dynamics.observation_space.shape))
        self._elapsed_steps = np.zeros(self.num_envs, dtype=np.int64)
        self._terminated, self._truncated, self._diverged = np.zeros(
            (3, self.num_envs), dtype=np.bool_
        )
        self._was_reset = np.zeros(self.num_envs, dtype=np.bool_)

    @property
    def tasks(self) -> FloatArray:
        """A copy of the tasks in force, [num_envs, task_parameter]."""
        return self._tasks.copy()

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw tasks, float64 [num_tasks, task_parameter]."""
        return self.family.sample(num_tasks, rng)

    def set_tasks(self, tasks: FloatArray) -> None:
        """Give each environment its task; see `TaskVectorEnv.set_tasks`."""
        self._tasks = checked_tasks(tasks, self.num_envs, self.task_parameter_names)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start new episodes; see `TaskVectorEnv.reset`."""
        mask = reset_mask_from(options, self.num_envs)
        seeds = seed_of_each_env(seed, self.num_envs)
        chosen = np.flatnonzero(mask)
        for i in chosen:
            if seeds[i] is not None:
                self.generators[i] = seeding.np_random(seeds[i])[0]
        ids = None if mask.all() else chosen
        self._observation[mask] = self.dynamics.reset(ids, [self.generators[i] for i in chosen])
        self._elapsed_steps[mask] = 0
        for flag in (self._terminated, self._truncated, self._diverged):
            flag[mask] = False
        self._was_reset |= mask
        return self._observation.copy(), {}

    def step(self, actions: NDArray[Any]) -> StepReturn:
        """Advance the environments whose episode is running by one control step.

        Args:
            actions: [num_envs, action], or [num_envs] for a `Discrete` action space.

        Returns:
            observation [num_envs, observation]; reward, terminated, truncated [num_envs]; info.
        """
        if not self._was_reset.all():
            raise ResetNeeded("step was called before every environment had been reset once.")
        action = checked_actions(actions, self.dynamics.action_space, self.num_envs)
        running = ~(self._terminated | self._truncated)
        ids: IntArray | None = None
        # A slice indexes without copying, so that a whole batch costs no more than its physics.
        rows: slice | IntArray = slice(None)
        if not running.all():
            ids = rows = np.flatnonzero(running)

        motion = self.dynamics.step(ids, action[rows])
        terms = self._reward_terms(motion, action[rows], rows)
        self._record_ends(motion, rows)
        self._record_observation(motion, rows)

        reward = np.zeros(self.num_envs)
        for term in terms.values():
            reward += term
        info: dict[str, Any] = {**terms, "diverged": self._diverged.copy()}
        if self.family.tracked is not None:
            tracked = self.family.tracked.value(motion)
            info[self.family.tracked.name] = np.full(self.num_envs, np.nan)
            info[self.family.tracked.name][rows] = np.where(motion.diverged, np.nan, tracked)
        return (
            self._observation.copy(),
            reward,
            self._terminated.copy(),
            self._truncated.copy(),
            info,
        )

    def _reward_terms(
        self, motion: MotionT, action: NDArray[Any], rows: slice | IntArray
    ) -> dict[str, FloatArray]:
        """The reward terms over all environments: 0 where nothing was stepped or it diverged."""
        # A diverged simulation's quantities may be anything; its reward is replaced below.
        with np.errstate(invalid="ignore", over="ignore"):
            stepped = self.family.reward_terms(motion, action, self._tasks[rows])
        terms: dict[str, FloatArray] = {}
        for name, value in stepped.items():
            terms[name] = np.zeros(self.num_envs)
            terms[name][rows] = np.where(motion.diverged, 0.0, value)
        return terms

    def _record_ends(self, motion: MotionT, rows: slice | IntArray) -> None:
        """Count the step and note which episodes it ended."""
        self._elapsed_steps[rows] += 1
        self._diverged[rows] = motion.diverged
        self._terminated[rows] = motion.diverged
        if self.family.terminated is not None:
            self._terminated[rows] |= self.family.terminated(motion, self._tasks[rows])
        if self._max_episode_steps is not None:
            self._truncated[rows] = self._elapsed_steps[rows] >= self._max_episode_steps

    def _record_observation(self, motion: MotionT, rows: slice | IntArray) -> None:
        """Keep the new observations, but the last good one where the simulation diverged."""
        observation = motion.observation
        if motion.diverged.any():
            last = self._observation[rows]
            observation = np.where(motion.diverged[:, None], last, observation)
        self._observation[rows] = observation
