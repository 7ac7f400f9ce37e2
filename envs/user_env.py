"""Any Gymnasium environment that a user brings, as a `TaskVectorEnv`.

The environment's innermost class has `sample_tasks(num_tasks, rng)` and `set_task(task)`, and
may have `task_parameter_names` and `task_range` (the least and the greatest value of each
parameter, [2, task_parameter]). Bundles of environments (`env_bundle.py`) run in worker processes
behind Gymnasium's AsyncVectorEnv. The parent makes one environment to ask it for its spaces; the
first worker keeps one, never reset or stepped, to draw tasks from.
"""

import math
import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.utils import CloudpickleWrapper, batch_space
from numpy.typing import NDArray

from envs.env_bundle import EnvBundle, UserEnvRecipe, UserFault
from envs.task_env import EnvironmentFault, FloatArray, StepReturn, TaskVectorEnv
from envs.vector_arguments import (
    checked_tasks,
    clipped_actions,
    describe_task,
    reset_mask_from,
    seed_of_each_env,
)
from envs.worker_processes import (
    dead_workers,
    frames_cleared,
    lean_spawning,
    stop_workers,
)

_CLOSING_PATIENCE = 2.0  # seconds
_MAX_TASKS_IN_MESSAGE = 3

AnswerT = TypeVar("AnswerT")


class UserTaskVectorEnv(TaskVectorEnv):
    """A user's environments, several to a worker process.

    Their own `info` does not travel, except for `info["diverged"]`, which they may set;
    `info["reward_environment"]` is the whole reward. Where MuJoCo calls their state unstable, the
    episode ends as diverged. After an `EnvironmentFault` the vector environment is closed and no
    process is left.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        *,
        module: str | None = None,
        max_episode_steps: int | None = None,
        num_workers: int = 0,
        timeout: float,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the workers and make the environments in them.

        Args:
            spec: the environment's registration.
            num_envs: how many environments.
            module: what a worker imports before it makes an environment, or None.
            max_episode_steps: time limit; None keeps the registration's.
            num_workers: at most this many processes; 0 for one per CPU.
            timeout: seconds that a worker may take to answer one call (making all its
                environments is one call).
            options: keyword arguments of the environment.

        Raises:
            ValueError: the environment cannot be made, has no tasks or has a space that is not
                a Box.
            EnvironmentFault: an environment failed in its worker.
        """
        self.closed = True  # Until the workers run there is nothing to close.
        recipe = UserEnvRecipe(spec, module, max_episode_steps, dict(options or {}))
        self._env_id = spec.id
        self._timeout = timeout
        probe = make_user_env(recipe)
        observation_space, action_space = _box_spaces(probe, self._env_id)
        names = getattr(probe.unwrapped, "task_parameter_names", None)
        self.num_envs = num_envs
        self.single_observation_space: Box = observation_space
        self.single_action_space: Box = action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}

        num_workers = num_workers or os.cpu_count() or 1
        self._num_slots = math.ceil(num_envs / num_workers)
        self._terminated, self._truncated, self._was_reset = np.zeros((3, num_envs), dtype=np.bool_)
        self._tasks: FloatArray | None = None
        try:
            self._workers = self._start_workers(recipe)
            self.closed = False
            first_tasks = self._drawn_tasks(num_envs, np.random.default_rng(0))
            if names is None:
                names = [f"task_{i}" for i in range(first_tasks.shape[1])]
            self.task_parameter_names = _checked_names(names, self._env_id)
            checked_tasks(first_tasks, num_envs, self.task_parameter_names)
            self.task_range = _task_range(probe, len(self.task_parameter_names), self._env_id)
            self.set_tasks(first_tasks)
        except BaseException:
            self.close()
            raise
        finally:
            probe.close()

    @property
    def tasks(self) -> FloatArray:
        """A copy of the tasks in force, [num_envs, task_parameter]."""
        assert self._tasks is not None
        return self._tasks.copy()

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw tasks with the environment's own `sample_tasks`."""
        try:
            tasks = self._drawn_tasks(num_tasks, rng)
            return checked_tasks(tasks, num_tasks, self.task_parameter_names)
        except ValueError as error:
            raise EnvironmentFault(str(error)) from error

    def set_tasks(self, tasks: FloatArray) -> None:
        """Give each environment its task; see `TaskVectorEnv.set_tasks`."""
        self._tasks = checked_tasks(tasks, self.num_envs, self.task_parameter_names)
        faults = self._exchange(
            "set_task",
            partial(self._workers.call_async, "set_tasks", self._tasks),
            self._workers.call_wait,
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
            partial(self._workers.reset_async, options=request),
            self._workers.reset_wait,
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
        action = clipped_actions(actions, self.single_action_space, self.num_envs)
        state, *_, info = self._exchange(
            "step",
            partial(self._workers.step_async, self._in_slots(action)),
            self._workers.step_wait,
        )
        self._raise_user_fault(info["fault"])
        observation = self._of_each_env(state["observation"])
        reward = self._of_each_env(state["reward"])
        self._check_finite("observation", observation)
        self._check_finite("reward", reward)
        self._terminated = self._of_each_env(state["terminated"]).astype(np.bool_)
        self._truncated = self._of_each_env(state["truncated"]).astype(np.bool_)
        return (
            observation,
            reward,
            self._terminated.copy(),
            self._truncated.copy(),
            {
                "reward_environment": reward.copy(),
                "diverged": self._of_each_env(state["diverged"]).astype(np.bool_),
            },
        )

    def close_extras(self) -> None:
        """Let the workers close their environments, then end every process."""
        for pipe in self._workers.parent_pipes:
            try:
                pipe.send(("close", None))
            except OSError:  # That worker has ended already.
                continue
        deadline = time.monotonic() + _CLOSING_PATIENCE
        for process in self._workers.processes:
            process.join(max(deadline - time.monotonic(), 0.0))
        self._end_processes()

    def __del__(self) -> None:
        """End the workers of an environment that nobody closed."""
        if not self.closed:
            self._end_processes()

    # Workers

    def _start_workers(self, recipe: UserEnvRecipe) -> AsyncVectorEnv:
        """Start one process per bundle; they run no user code yet."""
        pickled = pickle.dumps(CloudpickleWrapper(recipe))
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
            with frames_cleared(), lean_spawning():
                return AsyncVectorEnv(
                    bundles,
                    shared_memory=True,
                    copy=False,
                    context="spawn",
                    autoreset_mode=AutoresetMode.DISABLED,
                )
        except (EOFError, OSError) as error:
            raise EnvironmentFault(
                f"{self._env_id}: a worker process ended while it started."
            ) from error

    def _exchange(
        self,
        call: str,
        send: Callable[[], None],
        receive: Callable[[float], AnswerT],
    ) -> AnswerT:
        """Send a call to all workers and wait for every answer, up to the time limit."""
        if self.closed:
            raise ClosedEnvironmentError(f"{self._env_id}: {call} was called after close.")
        try:
            with frames_cleared():
                send()
                return receive(self._timeout)
        except multiprocessing.TimeoutError as error:
            late = [i for i, pipe in enumerate(self._workers.parent_pipes) if not pipe.poll(0)]
            cause = f"did not answer {call} within {self._timeout:g} s"
            raise self._worker_fault(call, late, cause) from error
        except (EOFError, OSError) as error:
            dead = dead_workers(self._workers.processes, patience=1.0)
            for i in dead:
                self._workers.processes[i].join()  # Only then is the exit code known.
            codes = sorted({str(self._workers.processes[i].exitcode) for i in dead})
            cause = f"died in {call} with exit code {' and '.join(codes)}"
            raise self._worker_fault(call, dead, cause) from error

    def _end_processes(self) -> None:
        self.closed = True
        stop_workers(self._workers.processes)
        for pipe in self._workers.parent_pipes:
            pipe.close()
        self._workers.error_queue.close()
        self._workers.closed = True  # Else its own finaliser would talk to the closed pipes.

    # Faults

    def _raise_user_fault(self, faults: Sequence[UserFault | None]) -> None:
        """Raise the first of the workers' faults, if any."""
        fault = next((fault for fault in faults if fault is not None), None)
        if fault is None:
            return
        where = f" ({fault.location})" if fault.location else ""
        self._end_processes()
        raise EnvironmentFault(
            f"{self._env_id} failed in worker {fault.env_index // self._num_slots}, environment "
            f"{fault.env_index}, task {self._task_of(fault.env_index)}: {fault.exception}{where}.",
            fault.traceback,
        )

    def _worker_fault(self, call: str, workers: Sequence[int], cause: str) -> EnvironmentFault:
        """End all processes and say which workers failed, and on which tasks."""
        self._end_processes()
        tasks = ""
        if call != "sample_tasks":
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
        self._end_processes()
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
        num_workers = self._workers.num_envs
        padded = np.zeros(
            (num_workers * self._num_slots, *value.shape[1:]), self.single_action_space.dtype
        )
        padded[: self.num_envs] = value
        return padded.reshape(num_workers, self._num_slots, *value.shape[1:])

    def _drawn_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """What the environment's `sample_tasks` returns, as float64 [num_tasks, parameter]."""
        answers = self._exchange(
            "sample_tasks",
            partial(self._workers.call_async, "sample_tasks", num_tasks, rng),
            self._workers.call_wait,
        )
        tasks = answers[0]
        if isinstance(tasks, UserFault):
            where = f" ({tasks.location})" if tasks.location else ""
            self._end_processes()
            raise EnvironmentFault(
                f"{self._env_id}: sample_tasks raised {tasks.exception}{where}.", tasks.traceback
            )
        if tasks.ndim != 2 or len(tasks) != num_tasks:
            raise ValueError(
                f"{self._env_id}: sample_tasks({num_tasks}, rng) must return an array "
                f"[{num_tasks}, task_parameter], not one of shape {tasks.shape}."
            )
        return tasks


def make_user_env(recipe: UserEnvRecipe) -> gymnasium.Env[Any, Any]:
    """Make one environment in this process, checked to be one with tasks.

    Raises:
        ValueError: it cannot be made, or has no tasks.
    """
    env_id = recipe.spec.id
    try:
        probe = recipe()
    except Exception as error:
        raise ValueError(
            f"{env_id} cannot be made with the options {dict(recipe.options)}: "
            f"{type(error).__name__}: {error}."
        ) from error
    missing = [
        name
        for name in ("sample_tasks", "set_task")
        if not callable(getattr(probe.unwrapped, name, None))
    ]
    if missing:
        probe.close()
        raise ValueError(
            f"{env_id} is not an environment with tasks: its class "
            f"{type(probe.unwrapped).__name__} has no method {' and no method '.join(missing)}."
        )
    return probe


def _checked_names(names: Sequence[str], env_id: str) -> tuple[str, ...]:
    """Names that can head the columns of a table."""
    checked = tuple(names)
    sound = all(isinstance(name, str) and name and name.isprintable() for name in checked)
    if not sound or len(set(checked)) < len(checked):
        raise ValueError(
            f"{env_id}: task_parameter_names must be different names in printable letters, "
            f"not {names!r}."
        )
    return checked


def _box_spaces(probe: gymnasium.Env[Any, Any], env_id: str) -> tuple[Box, Box]:
    """The observation and action space, which must be boxes."""
    spaces = (probe.observation_space, probe.action_space)
    for name, space in zip(("observation", "action"), spaces, strict=True):
        if not isinstance(space, Box):
            probe.close()
            raise ValueError(f"{env_id}: the {name} space must be a Box, not {space}.")
    observation_space, action_space = spaces
    assert isinstance(observation_space, Box)
    assert isinstance(action_space, Box)
    return observation_space, action_space


def _task_range(
    probe: gymnasium.Env[Any, Any], num_parameters: int, env_id: str
) -> FloatArray | None:
    """The environment's own `task_range` [2, task_parameter], or None if it has none."""
    stated = getattr(probe.unwrapped, "task_range", None)
    if stated is None:
        return None
    try:
        task_range = np.array(stated, dtype=np.float64)
        sound = task_range.shape == (2, num_parameters) and bool(
            (np.diff(task_range, axis=0) >= 0).all()
        )
    except (TypeError, ValueError):
        sound = False
    if not sound or not np.isfinite(task_range).all():
        probe.close()
        raise ValueError(
            f"{env_id}: task_range must hold the least and the greatest value of each of the "
            f"{num_parameters} task parameters, [2, {num_parameters}], not {stated!r}."
        )
    return task_range
