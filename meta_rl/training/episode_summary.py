"""What a meta-iteration's episodes come to, once those of all ranks are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from meta_rl.training.adaptation_curve import AdaptationCurve, adaptation_curve, joined_curve
from meta_rl.types import RolloutBatch


@dataclass(frozen=True)
class EpisodeSummary:
    """Returns and counts of the episodes at all adaptation steps.

    Attributes:
        curve: the returns.
        env_steps: steps taken.
        num_diverged: episodes that a diverging simulation ended.
    """

    curve: AdaptationCurve
    env_steps: int
    num_diverged: int


def episode_summary(episodes: Sequence[RolloutBatch]) -> EpisodeSummary:
    """Sums up the episodes at adaptation steps 0, 1, ..., K."""
    return EpisodeSummary(
        curve=adaptation_curve(episodes),
        env_steps=sum(rollouts.env_steps for rollouts in episodes),
        num_diverged=sum(rollouts.num_diverged for rollouts in episodes),
    )


def joined_summary(summaries: Sequence[EpisodeSummary]) -> EpisodeSummary:
    """Of the tasks of all."""
    return EpisodeSummary(
        curve=joined_curve([summary.curve for summary in summaries]),
        env_steps=sum(summary.env_steps for summary in summaries),
        num_diverged=sum(summary.num_diverged for summary in summaries),
    )
