"""Episodes of a few tasks, played again."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from meta_rl.config import Config
from meta_rl.reporting.report.task_choice import ChosenTask
from meta_rl.rollouts.environments import make_single_env
from meta_rl.rollouts.replay import Replay, recorded_episode, replay_episode
from meta_rl.training.evaluation import Evaluation


@dataclass(frozen=True)
class TaskReplays:
    """Episodes of one task.

    Attributes:
        task: [P].
        num_episodes: how many were recorded at each adaptation step, E.
        replays: the first of them, at each adaptation step, [K + 1][N].
    """

    task: np.ndarray
    num_episodes: int
    replays: tuple[tuple[Replay, ...], ...]


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
        num_episodes = min(num_paths if in_plane else 1, evaluation.reset_seeds.shape[-1])

        def replay_task(task: int) -> TaskReplays:
            replays = tuple(
                tuple(
                    replay_episode(env, recorded_episode(rollouts, seeds, task, episode))
                    for episode in range(num_episodes)
                )
                for rollouts, seeds in zip(evaluation.episodes, evaluation.reset_seeds, strict=True)
            )
            return TaskReplays(
                evaluation.curve.task[task], evaluation.reset_seeds.shape[-1], replays
            )

        return [ShownTask(one, replay_task(one.index)) for one in chosen]
