"""One policy on one set of tasks: its episodes before adaptation and after each step."""

from dataclasses import dataclass

import numpy as np

from meta_rl.curves.adaptation_curve import AdaptationCurve, adaptation_curve
from meta_rl.models.observation_normaliser import observation_normaliser
from meta_rl.ops.moments import Moments
from meta_rl.problems.adaptation_rollouts import AdaptationSettings, collect_and_adapt
from meta_rl.rollouts.environments import ShardedEnv
from meta_rl.runtime.seeding import RandomStreams
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import Params, RolloutBatch


@dataclass(frozen=True)
class Evaluation:
    """What adaptation did on a set of tasks.

    Attributes:
        episodes: the episodes at adaptation steps 0, 1, ..., K, new ones at each step.
        reset_seeds: int [K + 1, M, E], with which each episode began; with it and the actions, an
            episode can be played again.
        step_sizes: of each adaptation step, [K].
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
    settings: AdaptationSettings,
    meta_params: Params,
    env: ShardedEnv,
    tasks: np.ndarray,
    streams: RandomStreams,
    observation_moments: Moments | None = None,
) -> Evaluation:
    """Adapts to each task with the functions that training uses.

    Args:
        settings: how, and how many steps.
        meta_params: where adaptation starts, on their device.
        env: ``len(tasks) * settings.episodes_per_task`` simulations.
        tasks: [M, P].
        streams: random numbers.
        observation_moments: statistics of training, which stay as they are, if observations are
            normalised.

    Raises:
        EnvironmentFault, NumericalError: as ``collect``.
    """
    device = next(iter(meta_params.values())).device
    normaliser = observation_normaliser(observation_moments, device)
    episodes, _ = collect_and_adapt(
        settings, meta_params, env, tasks, streams, StageClock(device), normaliser
    )
    shape = (len(tasks), settings.episodes_per_task)
    seeds = [streams.reset_seeds(stage, *shape) for stage in range(len(episodes))]
    step_sizes = settings.inner_loop.step_sizes(settings.num_adaptation_steps)
    return Evaluation(episodes, np.array(seeds).reshape(len(episodes), *shape), step_sizes)
