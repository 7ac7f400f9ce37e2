"""The contract between environments and the trainer: many tasks, stepped as one batch.

A task is a small float vector with named entries, so that tasks batch, log and compare
without special cases. A simulated environment is put together from two parts, which know
nothing of each other's insides: `Dynamics` (how a robot moves) and `TaskFamily` (what it is
rewarded for, and which tasks there are).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from envs.appearance import PlaneGoal, TrackedQuantity

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

ActionSpace = Box | Discrete | MultiDiscrete

StepReturn = tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, Any]]


class EnvironmentFault(RuntimeError):  # noqa: N818, the fault may be no error of ours
    """An environment raised, hung, died or returned numbers that are not finite.

    Attributes:
        is_sentence: true: the message is one for users, who can mend what it says.
        worker_traceback: the traceback of the exception in the worker process, or "" if there
            was none.
    """

    is_sentence = True

    def __init__(self, message: str, worker_traceback: str = "") -> None:
        """Store the one-sentence message and the worker's own traceback."""
        super().__init__(message)
        self.worker_traceback = worker_traceback


class TaskVectorEnv(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Gymnasium's vector environment in which every environment has a task of its own.

    `reset` and `step` are Gymnasium's, with `AutoresetMode.DISABLED` and
    `options={"reset_mask": bool [num_envs]}`. We add to them:

    - An environment whose episode has ended is not stepped again before it is reset. Until
      then its observation and its `terminated` / `truncated` flags repeat, its reward is 0, and
      nothing is computed for it.
    - `reward` is the sum of the entries of `info` whose name starts with `reward_`, each
      float64 [num_envs].
    - The quantity that the tasks are about, if there is one (`TaskFamily.tracked`), is in `info`
      under its name, nan where nothing was stepped or the simulation broke down.
    - `info["diverged"]`, bool [num_envs], marks environments that terminated because their
      simulation broke down. Their observation is the last good one and their reward 0.
    - Actions are clipped to the action box; an action that is not finite, or no choice of a
      discrete action space, is a ValueError.
    - Before the first `set_tasks` the tasks are the family's first draws from
      `np.random.default_rng(0)`: they depend neither on a seed nor on the history.

    Attributes:
        single_observation_space: of one environment, a vector.
        single_action_space: of one environment: a bounded vector, `Discrete`, or `MultiDiscrete`
            with one axis.
        task_parameter_names: the name of each entry of a task.
        task_range: [2, task_parameter], the least and the greatest value of each entry that the
            task distribution gives; None where that is not known.
        finite_tasks: every task, [task, task_parameter], of a distribution that has only so
            many; None otherwise.
        test_tasks: those of them, or of a distribution without end, that `sample_tasks` never
            draws, [task, task_parameter]; None where nothing is held out.
    """

    single_observation_space: Box
    single_action_space: ActionSpace
    task_parameter_names: tuple[str, ...]
    task_range: FloatArray | None = None
    finite_tasks: FloatArray | None = None
    test_tasks: FloatArray | None = None

    @property
    def tasks(self) -> FloatArray:
        """A copy of the tasks in force, [num_envs, task_parameter]."""
        raise NotImplementedError

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw from the task distribution.

        Args:
            num_tasks: how many tasks.
            rng: the only source of randomness.

        Returns:
            Tasks, float64 [num_tasks, task_parameter].
        """
        raise NotImplementedError

    def set_tasks(self, tasks: FloatArray) -> None:
        """Give each environment its task, in force from the next call on.

        Args:
            tasks: [num_envs, task_parameter].

        Raises:
            ValueError: the shape is wrong or an entry is not finite.
        """
        raise NotImplementedError

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: one seed per environment; an integer s stands for s, s + 1, ...; None goes on
                with each environment's generator.
            options: `reset_mask`, bool [num_envs], leaves the other environments as they are.

        Returns:
            The observation [num_envs, observation] and the info.
        """
        raise NotImplementedError


class Motion(Protocol):
    """What one control step did to the simulations that were stepped.

    A robot's own motion adds the quantities that its reward functions read.
    """

    @property
    def observation(self) -> FloatArray:
        """At the new state, [simulation, observation]; not finite where diverged."""
        ...

    @property
    def diverged(self) -> BoolArray:
        """Where the simulation broke down, [simulation]."""
        ...


MotionT = TypeVar("MotionT", bound=Motion)
MotionT_co = TypeVar("MotionT_co", bound=Motion, covariant=True)


class Dynamics(Protocol[MotionT_co]):
    """How a robot moves: many simulations, without rewards, tasks or time limits.

    `ids` are sorted simulation indices, or None for all of them; rows of what is passed and
    returned follow `ids`.
    """

    num_simulations: int
    observation_space: Box

    @property
    def action_space(self) -> ActionSpace:
        """Of one simulation."""
        ...

    def reset(self, ids: IntArray | None, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Draw initial states, one generator per simulation; return the observations."""
        ...

    def step(self, ids: IntArray | None, action: NDArray[Any]) -> MotionT_co:
        """Advance by one control step.

        Args:
            ids: which simulations.
            action: float64 [simulation, action] inside the box; int64 choices of a `MultiDiscrete`
                space [simulation, action] or of a `Discrete` one [simulation].
        """
        ...


@dataclass(frozen=True)
class TaskFamily(Generic[MotionT]):
    """A distribution over tasks and what each rewards, as pure functions over a batch.

    Attributes:
        parameter_names: the name of each entry of a task.
        sample: (num_tasks, rng) -> tasks [num_tasks, task_parameter].
        reward_terms: (motion, action [simulation, action], tasks [simulation, task_parameter])
            -> the summands of the reward by name (`reward_*`), each [simulation].
        terminated: (motion, tasks) -> bool [simulation]; None for a task that never ends early.
        tracked: the quantity that the tasks are about, if there is one to watch.
        goal: the place in the plane that the tasks are about, if there is one.
        task_range, finite_tasks: of the distribution, as in `TaskVectorEnv`.
    """

    parameter_names: tuple[str, ...]
    sample: Callable[[int, np.random.Generator], FloatArray]
    reward_terms: Callable[[MotionT, NDArray[Any], FloatArray], dict[str, FloatArray]]
    terminated: Callable[[MotionT, FloatArray], BoolArray] | None = None
    tracked: TrackedQuantity[MotionT] | None = None
    goal: PlaneGoal | None = None
    task_range: FloatArray | None = None
    finite_tasks: FloatArray | None = None
