"""One policy on one set of tasks: its episodes before adaptation and after each step."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from meta_rl.curves.adaptation_curve import AdaptationCurve, adaptation_curve
from meta_rl.problems.algorithm_results import checked_stages
from meta_rl.problems.playing import TaskPlay
from meta_rl.types import AlgorithmState, RolloutBatch


@dataclass(frozen=True)
class Evaluation:
    """What adaptation did on a set of tasks.

    Attributes:
        episodes: the episodes at adaptation steps 0, 1, ..., K, new ones at each step.
        reset_seeds: int [K + 1, M, E], with which each episode began; with it and the actions, an
            episode can be played again.
        step_sizes: of each adaptation step, [K]; empty where the algorithm has none.
    """

    episodes: list[RolloutBatch]
    reset_seeds: np.ndarray
    step_sizes: list[float]

    @property
    def curve(self) -> AdaptationCurve:
        """The returns."""
        return adaptation_curve(self.episodes)

    @property
    def env_steps(self) -> np.ndarray:
        """Environment steps taken at each adaptation step, int [K + 1, M]."""
        return np.array([rollouts.valid.sum((1, 2)).tolist() for rollouts in self.episodes])


def evaluate(
    algorithm: Any, name: str, learned: AlgorithmState, play: TaskPlay, num_steps: int
) -> Evaluation:
    """Adapts to each task with the verb that training uses.

    Args:
        algorithm: an ``EpisodeAlgorithm``.
        name: ``algorithm.name``.
        learned: where adaptation starts.
        play: new, on the tasks.
        num_steps: K.

    Raises:
        EnvironmentFault, NumericalError, AlgorithmError: as ``TaskPlay``.
    """
    episodes = algorithm.adapt(learned, play, num_steps)
    stages = checked_stages(name, episodes, RolloutBatch, num_steps)
    seeds = [play.reset_seeds(stage) for stage in range(len(stages))]
    step_sizes: list[float] = getattr(algorithm, "step_sizes", lambda num_steps: [])(num_steps)
    return Evaluation(stages, np.stack(seeds), step_sizes)
