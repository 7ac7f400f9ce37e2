"""Any Gymnasium environment that a user brings, as a `TaskVectorEnv`.

A layer of the environment has `sample_tasks(num_tasks, rng)` and `set_task(task)`; it may have
`task_parameter_names`, `task_range`, `finite_tasks` and `test_tasks`, as in `TaskVectorEnv`. The
outermost layer that has one of them counts. A scout's process (`scout.py`) says what the
environment is and draws the tasks; bundles of environments (`env_bundle.py`) run in worker
processes behind Gymnasium's AsyncVectorEnv. The parent runs no code of the user's.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.env_bundle import NOT_SAID, EnvBundle
from envs.scout import Scout
from envs.task_env import EnvironmentFault, FloatArray, StepReturn, TaskVectorEnv
from envs.user_code_worker import pickled_recipe
from envs.user_env_recipe import UserEnvRecipe
from envs.user_fault import UserFault
from envs.vector_arguments import (
    checked_actions,
    checked_tasks,
    describe_task,
    reset_mask_from,
    seed_of_each_env,
)
from envs.worker_group import WorkerFailure, WorkerGroup

_MAX_TASKS_IN_MESSAGE = 3
_STEPS_OF_CHECK = 100  # without a time limit
_SECONDS_BETWEEN_NOTES = 5.0

AnswerT = TypeVar("AnswerT")
_log = logging.getLogger("envs")


class RegisteredAsBatchError(Exception):
    """The environment belongs to a batch, which needs no worker processes."""


class UserTaskVectorEnv(TaskVectorEnv):
    """A user's environments, several to a worker process.

    Their own `info` does not travel, except for `info["diverged"]` and `info["success"]`, which
    they may set: `info["success"]`, bool [num_envs], is there at the steps at which an environment
    spoke of it. `info["reward_environment"]` is the whole reward. Where MuJoCo calls their state
    unstable, the episode ends as diverged. After an `EnvironmentFault` the vector environment is
    closed and no process is left. Progress that takes long is logged.
    """

    def __init__(
        self,
        recipe: UserEnvRecipe,
        num_envs: int,
        *,
        num_workers: int = 0,
        timeout: float,
        limit: str = "timeout",
        check: bool = False,
    ) -> None:
        """Start the workers and make the environments in them.

        Args:
            recipe: how to make one environment.
            num_envs: how many environments.
            num_workers: at most this many processes; 0 for one per CPU.
            timeout: seconds that a worker may take to answer one call; making one environment
                is one call.
            limit: what sets this time limit, for messages.
            check: play the environment before more of them are made, and log warnings.

        Raises:
            ValueError: the environment cannot be made, has no tasks or has a space that the
                policy does not fit.
            EnvironmentFault: an environment failed in its worker, or did not pass the check.
            RegisteredAsBatchError: it needs no workers.
        """
        self.closed = True  # Until the workers run there is nothing to close.
        self._env_id = recipe.env_id
        self._timeout, self._limit = timeout, limit
        self._workers: WorkerGroup | None = None
        self._scout = Scout(recipe, timeout=timeout, limit=limit)
        description, declared = self._scout.description, self._scout.description.declarations
        if description.is_batched:
            self._scout.close()
            raise RegisteredAsBatchError
        self.closed = False
        self.task_parameter_names = declared.task_parameter_names
        self.task_range = declared.task_range
        self.finite_tasks = declared.finite_tasks
        self.test_tasks = declared.test_tasks
        self.num_envs = num_envs
        self.single_observation_space: Box = description.observation_space
        self.single_action_space = description.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}

        num_workers = num_workers or os.cpu_count() or 1
        self._num_slots = math.ceil(num_envs / num_workers)
        self._terminated, self._truncated, self._was_reset = np.zeros((3, num_envs), dtype=np.bool_)
        self._tasks: FloatArray | None = None
        try:
            if check:
                self._scout.check(recipe.max_episode_steps or _STEPS_OF_CHECK)
            first_tasks = self.sample_tasks(num_envs, np.random.default_rng(0))
            self._workers = self._start_workers(recipe)
            self._make_envs()
            self.set_tasks(first_tasks)
        except BaseException:
            self.close()
            raise

    @property
    def tasks(self) -> FloatArray:
        """A copy of the tasks in force, [num_envs, task_parameter]."""
        assert self._tasks is not None
        return self._tasks.copy()

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw tasks with the environment's own `sample_tasks`, but none of its `test_tasks`."""
        try:
            return self._scout.sample_tasks(num_tasks, rng)
        except (ValueError, EnvironmentFault) as error:
            self.close()
            told = str(error)
            raise EnvironmentFault(told, getattr(error, "worker_traceback", "")) from error

    def set_tasks(self, tasks: FloatArray) -> None:
        """Give each environment its task; see `TaskVectorEnv.set_tasks`."""
        self._tasks = checked_tasks(tasks, self.num_envs, self.task_parameter_names)
        faults = self._exchange(
            "set_task",
            partial(self._async_env.call_async, "set_tasks", self._tasks),
            self._async_env.call_wait,
        )
        self._raise_user_fault(faults)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start new episodes; see `TaskVectorEnv.reset`."""
        mask = reset_mask_from(options, self.num_envs)
        request = {"mask": mask, "seeds": seed_of_each_env(seed, self.num_envs)}
        state, info = self._exchange(
            "reset",
            partial(self._async_env.reset_async, options=request),
            self._async_env.reset_wait,
        )
        self._raise_user_fault(info["fault"])
        self._was_reset |= mask
        self._terminated = self._of_each_env(state["terminated"]).astype(np.bool_)
        self._truncated = self._of_each_env(state["truncated"]).astype(np.bool_)
        observation = self._of_each_env(state["observation"])
        self._check_finite("observation", observation)
        return observation, {}

    def step(self, actions: NDArray[Any]) -> StepReturn:
        """Step the environments whose episode is running; see `TaskVectorEnv`."""
        if not self._was_reset.all():
            raise ResetNeeded("step was called before every environment had been reset once.")
        action = checked_actions(actions, self.single_action_space, self.num_envs)
        state, *_, info = self._exchange(
            "step",
            partial(self._async_env.step_async, self._in_slots(action)),
            self._async_env.step_wait,
        )
        self._raise_user_fault(info["fault"])
        observation = self._of_each_env(state["observation"])
        reward = self._of_each_env(state["reward"])
        self._check_finite("observation", observation)
        self._check_finite("reward", reward)
        self._terminated = self._of_each_env(state["terminated"]).astype(np.bool_)
        self._truncated = self._of_each_env(state["truncated"]).astype(np.bool_)
        step_info = {
            "reward_environment": reward.copy(),
            "diverged": self._of_each_env(state["diverged"]).astype(np.bool_),
        }
        success = self._of_each_env(state["success"])
        if (success != NOT_SAID).any():
            step_info["success"] = success == 1
        return observation, reward, self._terminated.copy(), self._truncated.copy(), step_info

    def close_extras(self) -> None:
        """Let the environments close themselves, then end every process."""
        self.closed = True
        if self._workers is not None:
            self._workers.close()
        self._scout.close()

    def __del__(self) -> None:
        """End the workers of an environment that nobody closed."""
        if not self.closed:
            self.closed = True
            for group in (self._workers, self._scout):
                if group is not None:
                    group.kill()

    # Workers

    @property
    def _async_env(self) -> Any:
        assert self._workers is not None
        return self._workers.workers

    def _start_workers(self, recipe: UserEnvRecipe) -> WorkerGroup:
        """Start one process per bundle; they run no user code yet."""
        pickled = pickled_recipe(recipe)
        bundles = [
            partial(
                EnvBundle,
                pickled,
                first,
                min(self._num_slots, self.num_envs - first),
                self._num_slots,
                self.single_observation_space,
                self.single_action_space,
            )
            for first in range(0, self.num_envs, self._num_slots)
        ]
        try:
            return WorkerGroup(bundles)
        except WorkerFailure as failure:
            raise EnvironmentFault(f"{self._env_id}: a worker ended {failure.end}.") from failure

    def _make_envs(self) -> None:
        """Make the environments, each within the time limit, one in every worker at a time."""
        self._prepare("import_module", "importing its module", 0)
        noted = time.monotonic()
        for made in range(self._num_slots):
            count = min(made * self._async_env.num_envs, self.num_envs)
            if time.monotonic() - noted > _SECONDS_BETWEEN_NOTES:
                noted = time.monotonic()
                _log.info(f"{self._env_id}: {count} of {self.num_envs} environments are made")
            self._prepare("make_next", "making an environment", count)

    def _prepare(self, method: str, doing: str, num_made: int) -> None:
        """Let every worker do one thing before there are tasks to name."""
        assert self._workers is not None
        try:
            faults = self._workers.call(method, timeout=self._timeout)
        except WorkerFailure as failure:
            self.close()
            what = f"took longer than {self._timeout:g} s ({self._limit})"
            if failure.end:
                what = f"ended the process {failure.end}"
            workers = " and ".join(str(i) for i in failure.workers)
            raise EnvironmentFault(
                f"{self._env_id}: {doing} {what} in worker {workers}; {num_made} of "
                f"{self.num_envs} environments were made."
            ) from failure
        self._raise_user_fault(faults)

    def _exchange(
        self, call: str, send: Callable[[], None], receive: Callable[[float], AnswerT]
    ) -> AnswerT:
        """Send a call to all workers and wait for every answer, up to the time limit."""
        if self.closed:
            raise ClosedEnvironmentError(f"{self._env_id}: {call} was called after close.")
        assert self._workers is not None
        try:
            return self._workers.exchange(send, receive, self._timeout)
        except WorkerFailure as failure:
            cause = f"did not answer {call} within {self._timeout:g} s ({self._limit})"
            if failure.end:
                cause = f"died in {call} {failure.end}"
            raise self._worker_fault(failure.workers, cause) from failure

    # Faults

    def _raise_user_fault(self, faults: Sequence[UserFault | None]) -> None:
        """Raise the first of the workers' faults, if any."""
        fault = next((fault for fault in faults if fault is not None), None)
        if fault is None:
            return
        self.close()
        task = "" if self._tasks is None else f", task {self._task_of(fault.env_index)}"
        raise EnvironmentFault(
            f"{self._env_id} failed in worker {fault.env_index // self._num_slots}, environment "
            f"{fault.env_index}{task}: {fault.sentence}.",
            fault.traceback,
        )

    def _worker_fault(self, workers: Sequence[int], cause: str) -> EnvironmentFault:
        """End all processes and say which workers failed, and on which tasks."""
        self.close()
        tasks = ""
        if self._tasks is not None:
            envs = [i for i in range(self.num_envs) if i // self._num_slots in workers]
            tasks = ", ".join(self._task_of(i) for i in envs[:_MAX_TASKS_IN_MESSAGE])
            more = len(envs) - _MAX_TASKS_IN_MESSAGE
            tasks = f" (tasks {tasks}{f' and {more} more' if more > 0 else ''})"
        plural = "s" if len(workers) > 1 else ""
        names = ", ".join(str(i) for i in workers)
        return EnvironmentFault(f"{self._env_id}: worker{plural} {names}{tasks} {cause}.")

    def _check_finite(self, quantity: str, value: NDArray[Any]) -> None:
        """Stop if an environment's observation or reward is not finite."""
        if np.isfinite(value).all():
            return
        env = int(np.flatnonzero(~np.isfinite(value.reshape(self.num_envs, -1)).all(axis=1))[0])
        self.close()
        raise EnvironmentFault(
            f"{self._env_id} returned a non-finite {quantity} in worker "
            f"{env // self._num_slots}, environment {env}, task {self._task_of(env)}: {value[env]}."
        )

    def _task_of(self, env: int) -> str:
        return describe_task(self.tasks[env], self.task_parameter_names)

    # Between [num_envs, ...] and [worker, slot, ...]

    def _of_each_env(self, value: NDArray[Any]) -> NDArray[Any]:
        """A copy without the padding, [worker, slot, ...] -> [num_envs, ...]."""
        return value.reshape(-1, *value.shape[2:])[: self.num_envs].copy()

    def _in_slots(self, value: NDArray[Any]) -> NDArray[Any]:
        """Pad, [num_envs, ...] -> [worker, slot, ...], in the action's own data type."""
        num_workers = self._async_env.num_envs
        padded = np.zeros(
            (num_workers * self._num_slots, *value.shape[1:]), self.single_action_space.dtype
        )
        padded[: self.num_envs] = value
        return padded.reshape(num_workers, self._num_slots, *value.shape[1:])
