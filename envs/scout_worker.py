"""The worker's side of a scout: what an environment is, its tasks, and the check of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from envs.env_check import EnvCheck
from envs.findings import Finding
from envs.hidden_state import global_generators_watched
from envs.single_task_env import SingleTaskEnv
from envs.task_declarations import TaskDeclarations, drawn_tasks, rows_in, task_declarations
from envs.task_env import ActionSpace, FloatArray
from envs.user_code_worker import UserCodeWorker
from envs.user_fault import EnvRefused, UserFault, fault_from

_NUM_TASKS = 8
_FROM_RNG = "every draw should come from its argument rng, else a run cannot be repeated or resumed"
_NOTHING = Box(0.0, 1.0, (1,), np.float32)


@dataclass(frozen=True)
class EnvDescription:
    """What a vector environment has to know of one environment.

    Attributes:
        observation_space: a vector.
        action_space: a bounded vector of floats, or choices.
        declarations: about its tasks.
        is_batched: whether it is one of a batch that `register_task_env` has registered.
    """

    observation_space: Box
    action_space: ActionSpace
    declarations: TaskDeclarations
    is_batched: bool


class ScoutWorker(UserCodeWorker):
    """Makes one environment, which is never reset or stepped, and draws tasks from it.

    Every method returns a `UserFault` where the user's code failed.
    """

    observation_space = _NOTHING
    action_space = _NOTHING
    speaks_at_the_end = False

    def __init__(self, recipe: bytes) -> None:
        """Keep the recipe closed until the first call, so that no code of a user runs."""
        super().__init__(recipe)
        self._stages: Iterator[str] | None = None
        self._check: EnvCheck | None = None

    def make_env(self) -> UserFault | None:
        """Make the environment."""
        try:
            self.made.append(self.recipe())
        except BaseException as error:
            return fault_from(error, None)
        return None

    def describe(self) -> EnvDescription | UserFault:
        """What it is."""
        (env,) = self.made
        try:
            assert isinstance(env.observation_space, Box)
            assert isinstance(env.action_space, ActionSpace)
            declarations = task_declarations(env)
            return EnvDescription(
                env.observation_space,
                env.action_space,
                declarations,
                is_batched=isinstance(env.unwrapped, SingleTaskEnv),
            )
        except BaseException as error:
            return fault_from(error, env)

    def sample_tasks(
        self, num_tasks: int, rng: np.random.Generator
    ) -> tuple[FloatArray, Any] | UserFault:
        """Draw tasks; returns them and the state in which the draws have left the generator."""
        (env,) = self.made
        try:
            return drawn_tasks(env, num_tasks, rng), rng.bit_generator.state
        except BaseException as error:
            return fault_from(error, env)

    def check(
        self, declarations: TaskDeclarations, max_steps: int
    ) -> tuple[str | None, list[Finding]] | UserFault:
        """Go on with the check by one stage.

        Args:
            declarations: about the tasks.
            max_steps: longest episode.

        Returns:
            What comes next, None after the last stage, and the findings so far.
        """
        if self._check is None:
            findings = list(self._limit_findings(max_steps))
            try:
                tasks = self._tasks_to_play(declarations, findings)
            except BaseException as error:
                return fault_from(error, self.made[0])
            names = declarations.task_parameter_names
            self._check = EnvCheck(self.recipe, tasks, names, max_steps, findings)
            self._stages = self._check.stages()
        assert self._stages is not None
        return next(self._stages, None), self._check.findings

    def _limit_findings(self, max_steps: int) -> Iterator[Finding]:
        limit = self.recipe.registration().max_episode_steps
        if limit is not None and limit < max_steps:
            yield Finding(
                "warning",
                f"episodes end after {limit} steps, the max_episode_steps of its registration, "
                f"and not at the horizon of {max_steps}",
            )

    def _tasks_to_play(self, declarations: TaskDeclarations, findings: list[Finding]) -> FloatArray:
        """Some tasks; adds what is wrong with how they are drawn to the findings."""
        (env,) = self.made
        used: dict[str, set[str]] = {}
        with global_generators_watched(used, "sample_tasks"):
            first, again, other = (
                drawn_tasks(env, _NUM_TASKS, np.random.default_rng(seed)) for seed in (0, 0, 1)
            )
        problem = ""
        if used:
            problem = f"uses the global generator of {' and '.join(used)}; {_FROM_RNG}"
        elif not np.array_equal(first, again):
            problem = f"drew other tasks from an equal generator; {_FROM_RNG}"
        elif np.array_equal(first, other):
            problem = "drew the same tasks from two different generators"
        if problem:
            findings.append(Finding("warning", f"sample_tasks {problem}"))
        finite_tasks = declarations.finite_tasks
        if finite_tasks is not None and not rows_in(first, finite_tasks).all():
            outside = first[~rows_in(first, finite_tasks)][0]
            raise EnvRefused(f"sample_tasks drew {outside.tolist()}, not one of finite_tasks")
        return first
