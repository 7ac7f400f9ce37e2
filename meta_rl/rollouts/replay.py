"""A recorded episode played once more, exactly, for the eye: paths, poses, tracked quantities."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from envs.appearance import (
    Goal,
    RenderingError,
    Scene,
    ScenePose,
    Tracked,
    appearance_of,
    snapshot_of,
)
from envs.task_env import EnvironmentFault
from meta_rl.rollouts.action_spaces import environment_actions
from meta_rl.types import RolloutBatch

__all__ = [
    "Goal",
    "RecordedEpisode",
    "RenderingError",
    "Replay",
    "Scene",
    "ScenePose",
    "Tracked",
    "check_drawing",
    "recorded_episode",
    "replay_episode",
]


@dataclass(frozen=True)
class RecordedEpisode:
    """What an episode needs to be played again, and what it paid; T is its own length.

    Attributes:
        task: [P].
        reset_seed: what it began with.
        action: [T, A], the policy's, before rescaling and clipping or counting from the start of
            the space, as recorded.
        reward: [T], as recorded.
    """

    task: np.ndarray
    reset_seed: int
    action: np.ndarray
    reward: np.ndarray


@dataclass(frozen=True)
class Replay:
    """An episode of T steps, seen at its T + 1 states.

    What an environment cannot say is None.

    Attributes:
        task: [P].
        reward: float64 [T].
        terminated: whether the last step reached a terminal state.
        exact: whether the rewards are the recorded ones, bit for bit. They always are if the
            environment is a function of its reset seed, its task and the actions.
        control_step: seconds of simulated time per step.
        plane_position: [T + 1, 2].
        goal: the place in the plane that the task is about.
        tracked: the quantity that the task is about, and its target.
        tracked_value: [T], of each step.
        scene: the solids of the simulation, G of them.
        pose: position [T + 1, G, 3] and orientation [T + 1, G, 3, 3] of each.
        frame: pictures, uint8 [T + 1, height, width, 3], if the environment was made to draw them.
    """

    task: np.ndarray
    reward: np.ndarray
    terminated: bool
    exact: bool
    control_step: float | None = None
    plane_position: np.ndarray | None = None
    goal: Goal | None = None
    tracked: Tracked | None = None
    tracked_value: np.ndarray | None = None
    scene: Scene | None = None
    pose: ScenePose | None = None
    frame: np.ndarray | None = None

    @property
    def episode_return(self) -> float:
        """Undiscounted."""
        return float(self.reward.sum())


def recorded_episode(
    rollouts: RolloutBatch, reset_seeds: np.ndarray, task: int, episode: int
) -> RecordedEpisode:
    """Takes one episode out of a batch, without its padding.

    Args:
        rollouts: the batch.
        reset_seeds: [M, E], what its episodes began with.
        task: index along M.
        episode: index along E.
    """
    length = int(rollouts.valid[task, episode].sum())
    return RecordedEpisode(
        task=rollouts.task[task],
        reset_seed=int(reset_seeds[task, episode]),
        action=rollouts.action[task, episode, :length].cpu().numpy(),
        reward=rollouts.reward[task, episode, :length].cpu().numpy(),
    )


def check_drawing(env: gymnasium.Env[Any, Any], task: np.ndarray) -> None:
    """Draws one picture, so that what cannot be drawn is known before anything else is done.

    Args:
        env: from ``make_single_env``, made to draw.
        task: [P].

    Raises:
        EnvironmentFault: the environment raised an exception.
        RenderingError: this machine cannot draw it.
    """
    with _faults_named("when it was drawn"):
        env.get_wrapper_attr("set_task")(task.copy())
        env.reset(seed=0)
        _frame(env)


def replay_episode(env: gymnasium.Env[Any, Any], episode: RecordedEpisode) -> Replay:
    """Plays a recorded episode again.

    Args:
        env: from ``make_single_env``, with the settings that the episode was recorded under.
        episode: what to play.

    Raises:
        EnvironmentFault: the environment raised an exception.
        RenderingError: the environment was made to draw, and this machine cannot.
    """
    with _faults_named("in a replay"):
        return _replay_episode(env, episode)


@contextmanager
def _faults_named(where: str) -> Iterator[None]:
    try:
        yield
    except RenderingError:
        raise
    except Exception as error:  # whatever a user's code raises is the user's to read
        raise EnvironmentFault(
            f"the environment failed {where}: {type(error).__name__}: {error}"
        ) from error


def _replay_episode(env: gymnasium.Env[Any, Any], episode: RecordedEpisode) -> Replay:
    env.get_wrapper_attr("set_task")(episode.task.copy())
    env.reset(seed=episode.reset_seed)
    appearance = appearance_of(env)
    draws = env.render_mode == "rgb_array"
    frames = [_frame(env)] if draws else []
    snapshots, rewards, tracked_values = [snapshot_of(env)], [], []
    terminated = truncated = False
    for action in environment_actions(env.action_space)(episode.action):
        if terminated or truncated:
            break
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(float(reward))
        snapshots.append(snapshot_of(env))
        if draws:
            frames.append(_frame(env))
        if appearance.tracked is not None:
            tracked_values.append(float(info[appearance.tracked.name]))

    poses = [snapshot.pose for snapshot in snapshots if snapshot.pose is not None]
    places = [s.plane_position for s in snapshots if s.plane_position is not None]
    reward = np.array(rewards)
    return Replay(
        task=episode.task,
        reward=reward,
        terminated=bool(terminated),
        exact=np.array_equal(reward.astype(episode.reward.dtype), episode.reward),
        control_step=appearance.control_step,
        plane_position=np.stack(places) if places else None,
        goal=appearance.goal,
        tracked=appearance.tracked,
        tracked_value=np.array(tracked_values) if appearance.tracked is not None else None,
        scene=appearance.scene,
        pose=ScenePose(*(np.stack(parts) for parts in zip(*poses, strict=True))) if poses else None,
        frame=np.stack(frames) if draws else None,
    )


def _frame(env: gymnasium.Env[Any, Any]) -> np.ndarray:
    """The picture of the present state, uint8 [height, width, 3]."""
    frame = np.asarray(env.render())
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise TypeError(
            f"render() should return a uint8 array [height, width, 3], not {frame.dtype} "
            f"{list(frame.shape)}"
        )
    return frame.copy()
