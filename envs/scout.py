"""A scout goes ahead: one process that finds out what a user's environment is, and draws tasks.

So a constructor that hangs, exits or crashes does that to the scout's process, and the parent
has a sentence to say about it.
"""

import logging
from functools import partial
from typing import Any

import numpy as np

from envs.findings import Finding
from envs.scout_worker import EnvDescription, ScoutWorker
from envs.task_declarations import rows_in
from envs.task_env import EnvironmentFault, FloatArray
from envs.user_code_worker import pickled_recipe
from envs.user_env_recipe import UserEnvRecipe
from envs.user_fault import UserFault
from envs.worker_group import WorkerFailure, WorkerGroup

_SECONDS_OF_A_STAGE = 2.0  # of the check, beside the call of the user's that may take long
_MAX_REDRAWS = 1000

_log = logging.getLogger("envs")


class Scout:
    """One environment in a process of its own.

    Attributes:
        description: what it is.
    """

    def __init__(self, recipe: UserEnvRecipe, *, timeout: float, limit: str) -> None:
        """Start the process and make the environment in it.

        Args:
            recipe: how to make it.
            timeout: seconds that each of importing, making and every later call may take.
            limit: what sets this time limit, for messages.

        Raises:
            ValueError: the environment cannot be made, has no tasks, or its spaces or
                declarations are not what they should be.
            EnvironmentFault: its code failed, hung or ended the process.
        """
        self._recipe = recipe
        self._env_id = recipe.env_id
        self._timeout = timeout
        self._limit = limit
        self._group = WorkerGroup([partial(ScoutWorker, pickled_recipe(recipe))])
        try:
            module = "" if recipe.module is None else f"the module {recipe.module}"
            self._ask("import_module", f"importing {module or 'it'}")
            self._ask("make_env", "making an environment")
            self.description: EnvDescription = self._ask("describe", "asking for its tasks")
        except BaseException:
            self.close()
            raise

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw training tasks with the environment's own `sample_tasks`.

        Draws that are among its `test_tasks` are drawn again.

        Returns:
            [num_tasks, task_parameter].

        Raises:
            EnvironmentFault: the environment failed, or draws what it should not.
        """
        declared = self.description.declarations
        tasks = self._drawn(num_tasks, rng)
        if declared.test_tasks is not None:
            for _ in range(_MAX_REDRAWS):
                held_out = rows_in(tasks, declared.test_tasks)
                if not held_out.any():
                    break
                tasks[held_out] = self._drawn(int(held_out.sum()), rng)
            else:
                raise EnvironmentFault(f"{self._env_id}: sample_tasks draws from test_tasks alone.")
        if declared.finite_tasks is not None:
            outside = ~rows_in(tasks, declared.finite_tasks)
            if outside.any():
                raise EnvironmentFault(
                    f"{self._env_id}: sample_tasks drew {tasks[outside][0].tolist()}, "
                    "which is not one of finite_tasks."
                )
        return tasks

    def findings(self, max_steps: int) -> list[Finding]:
        """Check the environment; see `EnvCheck`.

        Args:
            max_steps: the length of an episode.

        Raises:
            EnvironmentFault: the environment hung or ended the process.
        """
        doing, timeout = "sample_tasks", self._timeout + _SECONDS_OF_A_STAGE
        while True:
            following, findings = self._ask(
                "check", doing, self.description.declarations, max_steps, timeout=timeout
            )
            if following is None:
                return findings
            doing = following

    def check(self, max_steps: int) -> None:
        """Log the warnings of `findings`, and raise its first error.

        Raises:
            EnvironmentFault: there is an error, or the environment hung or ended the process.
        """
        findings = self.findings(max_steps)
        for finding in findings:
            if finding.severity == "error":
                told = f"{self._env_id}: {finding.message}."
                raise EnvironmentFault(told, finding.traceback)
        for finding in findings:
            _log.warning(f"{self._env_id}: {finding.message}.")

    def close(self) -> None:
        """Close the environment and end the process."""
        self._group.close()

    def kill(self) -> None:
        """End the process at once."""
        self._group.kill()

    def _drawn(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """What the environment draws; the generator goes on as if it had drawn here."""
        tasks, state = self._ask("sample_tasks", "sample_tasks", num_tasks, rng)
        rng.bit_generator.state = state
        num_names = len(self.description.declarations.task_parameter_names)
        if tasks.shape[1] != num_names:
            raise EnvironmentFault(
                f"{self._env_id}: sample_tasks returned {tasks.shape[1]} numbers for each task, "
                f"but there are {num_names} task_parameter_names."
            )
        return tasks

    def _ask(self, method: str, doing: str, *args: Any, timeout: float | None = None) -> Any:
        """The worker's answer.

        Raises:
            ValueError: the environment is refused.
            EnvironmentFault: its code failed.
        """
        try:
            (answer,) = self._group.call(method, *args, timeout=timeout or self._timeout)
        except WorkerFailure as failure:
            what = f"took longer than {self._timeout:g} s ({self._limit})"
            if failure.end:
                what = f"ended its process {failure.end}"
            raise EnvironmentFault(f"{self._env_id}: {doing} {what}.") from failure
        if not isinstance(answer, UserFault):
            return answer
        self.close()
        if answer.was_raised:
            told = f"{self._env_id}: {doing} raised {answer.sentence}."
            raise EnvironmentFault(told, answer.traceback)
        is_named = answer.exception.startswith(self._env_id)
        raise ValueError(f"{'' if is_named else f'{self._env_id}: '}{answer.sentence}.")
