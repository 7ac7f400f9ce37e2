"""Short episodes of a user's environment, played to find what training would trip over.

The same episode is played twice in one environment and once in another, then one with another
task. What differs, or does not, tells about state that is hidden in the environment.
"""

import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from envs.env_returns import ReturnChecks
from envs.findings import Finding
from envs.hidden_state import global_generators_watched, statistics_problem
from envs.task_declarations import check_takes
from envs.task_env import FloatArray
from envs.user_fault import InvalidReturn, fault_from
from envs.vector_arguments import describe_task
from envs.worker_ends import close_env
from envs.wrapper_layers import layers

_SEED = 0
_SECONDS = 0.2  # of the first episode, so that a slow environment is not played for long
_SECONDS_BETWEEN_ANSWERS = 0.5
_MIN_STEPS = 2


@dataclass(frozen=True)
class _Episode:
    """What an episode of T steps gave.

    Attributes:
        observation: [T + 1, observation].
        reward: [T].
        ended: how it ended, (terminated, truncated), each [T].
    """

    observation: NDArray[Any]
    reward: FloatArray
    ended: NDArray[np.bool_]

    def difference(self, other: "_Episode") -> str | None:
        """Where another episode differs first, or None."""
        steps = min(len(self.reward), len(other.reward))
        for t in range(steps + 1):
            if not np.array_equal(self.observation[t], other.observation[t]):
                moment = f"after step {t}" if t else "of reset"
                return f"the observation {moment}"
            if t < steps and self.reward[t] != other.reward[t]:
                return f"the reward of step {t + 1} ({self.reward[t]:g}, then {other.reward[t]:g})"
            if t < steps and not np.array_equal(self.ended[t], other.ended[t]):
                return f"whether the episode ends with step {t + 1}"
        return None


class EnvCheck:
    """A check in stages, each of which is short unless the environment hangs.

    Attributes:
        findings: so far.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        tasks: FloatArray,
        task_parameter_names: tuple[str, ...],
        max_steps: int,
        findings: Sequence[Finding] = (),
    ) -> None:
        """Describe the check.

        Args:
            make: makes one environment.
            tasks: [task, task_parameter], the first of which is played.
            task_parameter_names: of the environment.
            max_steps: length of an episode, if it does not take too long.
            findings: what is known before.
        """
        self.findings = list(findings)
        self._make = make
        self._tasks = tasks
        self._names = task_parameter_names
        self._max_steps = max_steps
        self._envs: list[gymnasium.Env[Any, Any]] = []
        self._used_generators: dict[str, set[str]] = {}

    def stages(self) -> Iterator[str]:
        """Yields what is done next, "playing an episode", and does it when it is continued.

        Between two answers lies at most one call of the user's that takes long. An exception of
        the environment is a finding and ends the check.
        """
        try:
            yield from self._stages()
        except BaseException as error:
            if _ends_the_check(error):
                raise
            self._add_fault(error, self._envs[-1] if self._envs else None, "the constructor")
        for env in self._envs:
            yield "closing an environment"
            if problem := close_env(env):
                self._warn(problem)

    def _stages(self) -> Iterator[str]:
        yield "making an environment"
        env = self._made()
        if problem := statistics_problem(env):
            self._error(problem)
            return
        doing = "playing an episode"
        task = self._tasks[0]
        first = yield from self._play(env, task, self._max_steps, doing, max_seconds=_SECONDS)
        if first is None:
            return
        num_steps = len(first.reward)
        again = yield from self._play(env, task, num_steps, doing)
        yield "making an environment"
        twin = self._made()
        in_twin = yield from self._play(twin, task, num_steps, doing)
        if again is None or in_twin is None:
            return
        yield from self._judge_repetition(env, first, again, in_twin)
        others = self._tasks[(self._tasks != task).any(axis=1)]
        if len(others) and np.ptp(first.reward) > 0:
            other = yield from self._play(env, others[0], num_steps, doing)
            if other is not None and first.difference(other) is None:
                told = " and ".join(describe_task(t, self._names) for t in (task, others[0]))
                self._warn(
                    f"episodes of the tasks {told} were the same: reset may draw a task of its "
                    "own in place of the one that set_task was given"
                )

    def _made(self) -> gymnasium.Env[Any, Any]:
        with global_generators_watched(self._used_generators, "the constructor"):
            self._envs.append(self._make())
        return self._envs[-1]

    def _play(
        self,
        env: gymnasium.Env[Any, Any],
        task: FloatArray,
        max_steps: int,
        doing: str,
        *,
        max_seconds: float = np.inf,
    ) -> Generator[str, None, _Episode | None]:
        """An episode with actions that depend on nothing; None after a finding."""
        moment, used = "set_task", self._used_generators
        rewards: list[float] = []
        ended: list[tuple[bool, bool]] = []
        try:
            yield doing
            set_task = env.get_wrapper_attr("set_task")
            check_takes(set_task, "set_task", "task")
            with global_generators_watched(used, "set_task"):
                set_task(task.copy())
            yield doing
            moment = "reset"
            with global_generators_watched(used, "reset"):
                observation, _ = env.reset(seed=_SEED)
            _check_finite("reset", "an observation", observation)
            observations = [observation.copy()]
            start = answered = time.monotonic()
            with global_generators_watched(used, "step"):
                for action in _actions(env.action_space, max_steps):
                    if time.monotonic() - answered > _SECONDS_BETWEEN_ANSWERS:
                        yield doing
                        answered = time.monotonic()
                    moment = f"step {len(rewards) + 1} of an episode"
                    observation, reward, terminated, truncated, _ = env.step(action)
                    _check_finite("step", "an observation", observation)
                    _check_finite("step", "a reward", reward)
                    observations.append(observation.copy())
                    rewards.append(float(reward))
                    ended.append((terminated, truncated))
                    late = time.monotonic() - start > max_seconds and len(rewards) >= _MIN_STEPS
                    if terminated or truncated or late:
                        break
        except BaseException as error:
            if _ends_the_check(error):
                raise
            self._add_fault(error, env, f"with task {describe_task(task, self._names)}, {moment}")
            return None
        return _Episode(np.array(observations), np.array(rewards), np.array(ended, dtype=np.bool_))

    def _judge_repetition(
        self, env: gymnasium.Env[Any, Any], first: _Episode, again: _Episode, in_twin: _Episode
    ) -> Iterator[str]:
        """Say why episodes differ that should be the same."""
        for generator, moments in self._used_generators.items():
            where = " and ".join(sorted(moments))
            self._warn(
                f"{where} uses the global generator of {generator}, so that a resumed or repeated "
                "run differs; draw from self.np_random instead"
            )
        if self._used_generators:
            return
        if difference := first.difference(again):
            culprit = yield from self._culprit(env, len(first.reward))
            self._warn(
                f"a second episode with the same seed, task and actions differs in {difference}: "
                f"{culprit} keeps state that outlives an episode, or draws from another generator "
                "than self.np_random"
            )
        elif difference := first.difference(in_twin):
            self._warn(
                f"two environments with the same options, seed, task and actions differ in "
                f"{difference}: something is drawn at random when an environment is made"
            )

    def _culprit(self, env: gymnasium.Env[Any, Any], num_steps: int) -> Generator[str, None, str]:
        """The innermost layer whose episodes cannot be repeated."""
        silent = EnvCheck(self._make, self._tasks, self._names, num_steps)
        for layer in reversed(list(layers(env))):
            if not isinstance(layer.observation_space, Box):
                continue
            view, doing = _Layer(layer, env), "finding where episodes differ"
            one = yield from silent._play(view, self._tasks[0], num_steps, doing)
            two = yield from silent._play(view, self._tasks[0], num_steps, doing)
            if one is None or two is None or one.difference(two):
                return type(layer).__name__
        return type(env.unwrapped).__name__

    def _add_fault(
        self, error: BaseException, env: gymnasium.Env[Any, Any] | None, moment: str
    ) -> None:
        fault = fault_from(error, env)
        what = f"{moment} raised {fault.sentence}" if fault.was_raised else fault.sentence
        self.findings.append(Finding("error", what, fault.traceback))

    def _error(self, message: str) -> None:
        self.findings.append(Finding("error", message))

    def _warn(self, message: str) -> None:
        self.findings.append(Finding("warning", message))


class _Layer(ReturnChecks):
    """One layer of an environment alone, with the tasks of the whole."""

    def __init__(self, layer: gymnasium.Env[Any, Any], whole: gymnasium.Env[Any, Any]) -> None:
        super().__init__(layer)
        self.set_task = whole.get_wrapper_attr("set_task")


def _actions(space: gymnasium.Space[Any], num_steps: int) -> Iterator[NDArray[Any]]:
    """The least action, the greatest one, then random ones."""
    rng = np.random.default_rng(_SEED)
    draw: Callable[[Any, Any], Any]
    if isinstance(space, Box):
        low, high, draw = space.low, space.high, rng.uniform
    else:
        assert isinstance(space, Discrete | MultiDiscrete)
        low = np.asarray(space.start)
        high = low + (space.n if isinstance(space, Discrete) else space.nvec) - 1
        draw = partial(rng.integers, endpoint=True)
    for t in range(num_steps):
        chosen = {0: low, 1: high}.get(t)
        # A choice is a NumPy integer, as in training.
        yield np.array(draw(low, high) if chosen is None else chosen, dtype=space.dtype)[()]


def _ends_the_check(error: BaseException) -> bool:
    """Whether nobody wants to know more, and not a user's code has raised this."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, GeneratorExit) and frames[-1].filename == __file__


def _check_finite(method: str, quantity: str, value: Any) -> None:
    if not np.isfinite(value).all():
        raise InvalidReturn(method, f"returned {quantity} that is not finite, {value}")
