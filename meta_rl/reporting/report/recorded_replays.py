"""Episodes of a few tasks, played again for the report."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from meta_rl.config import Config
from meta_rl.problems.evaluation import Evaluation
from meta_rl.reporting.report.task_choice import ChosenTask
from meta_rl.reporting.task_replays import TaskReplays, replay_task
from meta_rl.rollouts.environments import make_single_env
from meta_rl.rollouts.replay import Replay, recorded_episode, replay_episode


@dataclass(frozen=True)
class ShownTask:
    """A task that the report replays.

    Attributes:
        chosen: which, and why.
        episodes: played again.
    """

    chosen: ChosenTask
    episodes: TaskReplays

    @property
    def first_replays(self) -> list[Replay]:
        """The first episode at each adaptation step: a choice that nothing in it has made."""
        return [replays[0] for replays in self.episodes.replays]


def record_replays(
    config: Config, evaluation: Evaluation, chosen: Sequence[ChosenTask], *, num_paths: int
) -> list[ShownTask]:
    """Plays the first episodes of tasks again.

    Args:
        config: the settings of the evaluation.
        evaluation: the recorded episodes.
        chosen: whose.
        num_paths: episodes per task and step where they are paths in the plane; elsewhere one.

    Raises:
        EnvironmentFault: the environment cannot be made, or fails.
    """
    with closing(make_single_env(config)) as env:
        first = recorded_episode(evaluation.episodes[0], evaluation.reset_seeds[0], 0, 0)
        in_plane = replay_episode(env, first).plane_position is not None
        num_episodes = num_paths if in_plane else 1
        return [
            ShownTask(one, replay_task(env, evaluation, one.index, num_episodes=num_episodes))
            for one in chosen
        ]
