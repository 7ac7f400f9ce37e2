"""A bandit with Bernoulli arms: which one pays most has to be found out by pulling.

Duan et al. 2016 (arXiv 1611.02779, RL^2), section 3.1: each of K arms pays 1 with a probability of
its own, drawn uniformly from [0, 1] for each task, and 0 otherwise. There a trial is N pulls, each
an episode of its own; here N pulls are the N steps of an episode, so that an algorithm that adapts
between episodes sees several pulls at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.task_env import BoolArray, Dynamics, FloatArray, IntArray, TaskFamily


class Pull(NamedTuple):
    """One pull of each simulation.

    Attributes:
        observation: always 1, [simulation, 1].
        diverged: bool [simulation], never true.
        chance: uniform over [0, 1), [simulation]; an arm pays if its probability is greater.
        is_last: bool [simulation], whether it was the last pull of the episode.
    """

    observation: FloatArray
    diverged: BoolArray
    chance: FloatArray
    is_last: BoolArray


class BanditDynamics:
    """Counts pulls. There is nothing to see but the number 1, and nothing that a pull changes."""

    def __init__(self, num_simulations: int, num_arms: int, num_pulls: int) -> None:
        """Bandits with this many arms, of which one is pulled this many times an episode."""
        self.num_simulations = num_simulations
        self.observation_space: Box = Box(0.0, 1.0, (1,), np.float64)
        self.action_space = Discrete(num_arms)
        # Drawn at reset, so that an episode is a function of its seed, its task and its actions.
        self._chance = np.zeros((num_simulations, num_pulls))
        self._num_pulled = np.zeros(num_simulations, dtype=np.int64)

    def reset(self, ids: IntArray | None, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Draw the chances of all pulls of an episode."""
        rows: slice | IntArray = slice(None) if ids is None else ids
        num_pulls = self._chance.shape[1]
        self._chance[rows] = [generator.random(num_pulls) for generator in generators]
        self._num_pulled[rows] = 0
        return np.ones((len(generators), 1))

    def step(self, ids: IntArray | None, action: IntArray) -> Pull:
        """Pull an arm, [simulation]; which one matters to the reward only."""
        rows = np.arange(self.num_simulations) if ids is None else ids
        chance = self._chance[rows, self._num_pulled[rows]]
        self._num_pulled[rows] += 1
        return Pull(
            observation=np.ones((len(rows), 1)),
            diverged=np.zeros(len(rows), dtype=np.bool_),
            chance=chance,
            is_last=self._num_pulled[rows] == self._chance.shape[1],
        )


def _reward_terms(motion: Pull, action: IntArray, tasks: FloatArray) -> dict[str, FloatArray]:
    """1 with the pulled arm's probability, else 0."""
    probability = tasks[np.arange(len(action)), action]
    return {"reward_pull": (motion.chance < probability).astype(np.float64)}


def _after_the_last_pull(motion: Pull, tasks: FloatArray) -> BoolArray:
    return motion.is_last


def bandit(
    num_envs: int, num_threads: int, *, num_arms: int = 5, num_pulls: int = 100
) -> tuple[Dynamics[Pull], TaskFamily[Pull]]:
    """Parts of Bandit.

    Args:
        num_envs: how many bandits.
        num_threads: for dynamics that use threads.
        num_arms: K.
        num_pulls: N, after which an episode ends.

    Raises:
        ValueError: there is no choice of arms, or no pull.
    """
    for name, value, least in (("num_arms", num_arms, 2), ("num_pulls", num_pulls, 1)):
        if type(value) is not int or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")

    def sample(num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Probabilities, uniform over [0, 1], [num_tasks, num_arms]."""
        return rng.uniform(size=(num_tasks, num_arms))

    family = TaskFamily(
        tuple(f"probability_{arm}" for arm in range(num_arms)),
        sample,
        _reward_terms,
        _after_the_last_pull,
        task_range=np.stack([np.zeros(num_arms), np.ones(num_arms)]),
    )
    return BanditDynamics(num_envs, num_arms, num_pulls), family
