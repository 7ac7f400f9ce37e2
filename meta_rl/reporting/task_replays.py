"""What a policy did on a few tasks, before adapting and after each step, played again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from meta_rl.problems.evaluation import Evaluation
from meta_rl.rollouts.replay import Replay, recorded_episode, replay_episode
from meta_rl.rollouts.task_words import joined_entries


@dataclass(frozen=True)
class TaskReplays:
    """One task.

    Attributes:
        task: [P].
        label: the task in words, "velocity 1.5".
        mean_return: over all episodes at each adaptation step, [K + 1].
        num_episodes: over how many, E.
        replays: some of them at each adaptation step, [K + 1][N].
    """

    task: np.ndarray
    label: str
    mean_return: np.ndarray
    num_episodes: int
    replays: tuple[tuple[Replay, ...], ...]

    @property
    def exact(self) -> bool:
        """Whether every episode was the recorded one, bit for bit."""
        return all(replay.exact for step in self.replays for replay in step)


def replay_task(
    env: gymnasium.Env[Any, Any], evaluation: Evaluation, task: int, *, num_episodes: int
) -> TaskReplays:
    """Plays the first few episodes of one task again, at every adaptation step.

    Which ones are played depends on nothing that happened in them.

    Args:
        env: from ``make_single_env``, with the settings of the evaluation.
        evaluation: the episodes.
        task: index of the task.
        num_episodes: how many at each adaptation step, if there are so many.

    Raises:
        EnvironmentFault, RenderingError: as ``replay_episode``.
    """
    curve = evaluation.curve
    returns = curve.value[task]
    return TaskReplays(
        task=curve.task[task],
        label=task_label(curve.task[task], env),
        mean_return=returns.mean(-1),
        num_episodes=returns.shape[-1],
        replays=tuple(
            tuple(
                replay_episode(env, recorded_episode(rollouts, seeds, task, episode))
                for episode in range(min(num_episodes, returns.shape[-1]))
            )
            for rollouts, seeds in zip(evaluation.episodes, evaluation.reset_seeds, strict=True)
        ),
    )


def task_label(task: np.ndarray, env: Any) -> str:
    """A task in words: "goal x 0.3, goal y -0.2", rounded."""
    names: Sequence[str] = getattr(_layer_with_names(env), "task_parameter_names", None) or [
        f"task {i}" for i in range(len(task))
    ]
    parts = [
        f"{name.replace('_', ' ')} {round(value, 2):.4g}"
        for name, value in zip(names, task.tolist(), strict=True)
    ]
    return joined_entries(parts).replace("-", "\N{MINUS SIGN}")


def _layer_with_names(env: Any) -> Any:
    """The outermost layer that names the entries of a task, or the innermost one."""
    while isinstance(env, gymnasium.Wrapper) and not hasattr(env, "task_parameter_names"):
        env = env.env
    return env
