"""A point in the plane that must find an unseen goal: the paper's 2D navigation.

Finn, Abbeel, Levine 2017 (arXiv 1703.03400), section 5.3. The paper's text says squared
distance; the code behind its figures, and so this file, uses the distance itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box

from envs.appearance import PlaneGoal
from envs.task_env import BoolArray, Dynamics, FloatArray, IntArray, TaskFamily

_MAX_STEP = 0.1
_GOAL_HALF_WIDTH = 0.5
_REACHED_WITHIN = 0.01


class PointMotion(NamedTuple):
    """One step of the point.

    Attributes:
        observation: the new position [simulation, 2].
        diverged: bool [simulation], never true.
    """

    observation: FloatArray
    diverged: BoolArray


class PointDynamics:
    """s' = s + u, from s = (0, 0), with each entry of u in [-.1, .1]."""

    def __init__(self, num_simulations: int) -> None:
        """Put every point at the origin."""
        self.num_simulations = num_simulations
        self.observation_space: Box = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space: Box = Box(-_MAX_STEP, _MAX_STEP, (2,), np.float64)
        self._position = np.zeros((num_simulations, 2))

    def reset(self, ids: IntArray | None, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Back to the origin; nothing is drawn."""
        rows: slice | IntArray = slice(None) if ids is None else ids
        self._position[rows] = 0.0
        return np.zeros((len(generators), 2))

    def step(self, ids: IntArray | None, action: FloatArray) -> PointMotion:
        """Move by the action."""
        rows: slice | IntArray = slice(None) if ids is None else ids
        self._position[rows] += action
        return PointMotion(self._position[rows].copy(), np.zeros(len(action), dtype=np.bool_))

    def plane_position(self, simulation: int) -> FloatArray:
        """Where the point of one simulation is, [2]."""
        return self._position[simulation].copy()


def _sample_goals(num_tasks: int, rng: np.random.Generator) -> FloatArray:
    """Goals, uniform over the square [-.5, .5]^2, [num_tasks, 2]."""
    return rng.uniform(-_GOAL_HALF_WIDTH, _GOAL_HALF_WIDTH, size=(num_tasks, 2))


def _reward_terms(
    motion: PointMotion, action: FloatArray, tasks: FloatArray
) -> dict[str, FloatArray]:
    """-||s' - goal||_2, at the position after the step."""
    return {"reward_distance": -np.linalg.norm(motion.observation - tasks, axis=1)}


def _at_goal(motion: PointMotion, tasks: FloatArray) -> BoolArray:
    """Whether both coordinates are within .01 of the goal's, [simulation]."""
    close: BoolArray = np.abs(motion.observation - tasks) < _REACHED_WITHIN
    return close[:, 0] & close[:, 1]


def _goal(tasks: FloatArray) -> FloatArray:
    """The goals, which are the tasks themselves, [simulation, 2]."""
    return tasks


NAVIGATION = TaskFamily(
    ("goal_x", "goal_y"),
    _sample_goals,
    _reward_terms,
    _at_goal,
    goal=PlaneGoal(_goal, _REACHED_WITHIN),
    task_range=_GOAL_HALF_WIDTH * np.array([[-1.0, -1.0], [1.0, 1.0]]),
)


def navigation(
    num_envs: int, num_threads: int
) -> tuple[Dynamics[PointMotion], TaskFamily[PointMotion]]:
    """Parts of Navigation2D; `num_threads` is for dynamics that use threads."""
    return PointDynamics(num_envs), NAVIGATION
