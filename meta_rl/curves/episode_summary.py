"""What a meta-iteration's episodes come to, once those of all ranks are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from meta_rl.curves.adaptation_curve import AdaptationCurve, adaptation_curve, joined_curve
from meta_rl.ops.moments import Moments, concatenated_moments, task_moments
from meta_rl.types import RolloutBatch


@dataclass(frozen=True)
class EpisodeSummary:
    """Returns and counts of the episodes at all adaptation steps.

    Attributes:
        curve: the returns.
        env_steps: steps taken.
        num_diverged: episodes that a diverging simulation ended.
        observation_moments: of each task's steps at each adaptation step, on the CPU, [K + 1, M],
            where they are wanted.
        num_successes: successful episodes at each adaptation step, [K + 1]; None where the
            environment does not speak of success.
    """

    curve: AdaptationCurve
    env_steps: int
    num_diverged: int
    observation_moments: Moments | None = None
    num_successes: np.ndarray | None = None

    @property
    def success_rate(self) -> np.ndarray | None:
        """Share of the episodes that are successful, at each adaptation step, [K + 1]."""
        if self.num_successes is None:
            return None
        num_tasks, _, num_episodes = self.curve.value.shape
        return self.num_successes / (num_tasks * num_episodes)


def episode_summary(
    episodes: Sequence[RolloutBatch], *, with_moments: bool = False
) -> EpisodeSummary:
    """Sums up the episodes at adaptation steps 0, 1, ..., K."""
    return EpisodeSummary(
        curve=adaptation_curve(episodes),
        env_steps=sum(rollouts.env_steps for rollouts in episodes),
        num_diverged=sum(rollouts.num_diverged for rollouts in episodes),
        observation_moments=_observation_moments(episodes) if with_moments else None,
        num_successes=_num_successes(episodes),
    )


def joined_summary(summaries: Sequence[EpisodeSummary]) -> EpisodeSummary:
    """Of the tasks of all."""
    moments = [summary.observation_moments for summary in summaries]
    kept = [entry for entry in moments if entry is not None]
    return EpisodeSummary(
        curve=joined_curve([summary.curve for summary in summaries]),
        env_steps=sum(summary.env_steps for summary in summaries),
        num_diverged=sum(summary.num_diverged for summary in summaries),
        observation_moments=concatenated_moments(kept, axis=1) if kept else None,
        num_successes=_sum_of_known([summary.num_successes for summary in summaries]),
    )


def _observation_moments(episodes: Sequence[RolloutBatch]) -> Moments:
    steps = [task_moments(rollouts.observation, rollouts.valid) for rollouts in episodes]
    return Moments(*(torch.stack(entries).cpu() for entries in zip(*steps, strict=True)))


def _num_successes(episodes: Sequence[RolloutBatch]) -> np.ndarray | None:
    """Successful episodes at each adaptation step, [K + 1], if any step speaks of success."""
    known = [rollouts.success for rollouts in episodes]
    if all(success is None for success in known):
        return None
    return np.array([0 if success is None else int(success.sum()) for success in known])


def _sum_of_known(counts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The sum of what is not None; None of nothing."""
    known = [count for count in counts if count is not None]
    return np.sum(known, axis=0) if known else None
