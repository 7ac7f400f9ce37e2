"""What ``meta-rl visualize`` does between its options and its files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from matplotlib.figure import Figure

from meta_rl.config import Config, ConfigError, SineRunConfig
from meta_rl.evaluation.evaluator import AdaptedTasks, Evaluator, evaluate_examples
from meta_rl.evaluation.held_out_tasks import (
    TaskSelectionError,
    extrapolation_warning,
    sampled_tasks,
)
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.problems.evaluation import Evaluation
from meta_rl.reading import parse_number
from meta_rl.reporting.adaptation_plot import save_figure
from meta_rl.reporting.few_shot_episodes import episode_figure
from meta_rl.reporting.film import film_frames, film_rate
from meta_rl.reporting.sinusoids import sinusoid_figure
from meta_rl.reporting.task_replays import TaskReplays, replay_task
from meta_rl.reporting.time_plot import reward_figure, tracked_figure
from meta_rl.reporting.trajectory_animation import FRAMES_PER_SECOND, animation_frames
from meta_rl.reporting.trajectory_plot import trajectory_figure
from meta_rl.reporting.video import write_gif, write_mp4
from meta_rl.rollouts.environments import ShardedEnv, make_env, make_single_env
from meta_rl.rollouts.replay import check_drawing
from meta_rl.rollouts.task_words import joined_entries

MAX_GIF_BYTES = 1_000_000
_NUM_TASKS = 4
_GRID_SIZE = 200
# Enough for a band of percentiles; each costs a few hundredths of a second.
_MAX_EPISODES = 10


@dataclass(frozen=True)
class Films:
    """Which moving pictures are made.

    Attributes:
        mp4: films.
        gif: the same as small GIFs.
    """

    mp4: bool
    gif: bool


@dataclass(frozen=True)
class Choice:
    """What a user wants to see.

    Attributes:
        tasks: listed in a text, see ``chosen_tasks``.
        num_tasks: so many test tasks in place of them.
        films: which moving pictures are made.
    """

    tasks: str | None
    num_tasks: int | None
    films: Films


def prepared_visualization(
    models: Sequence[SavedModel], choice: Choice, note: Callable[[str], None]
) -> Callable[[Path], None]:
    """Looks at all that can be wrong with the choice, and returns what writes into a folder.

    Args:
        models: one policy, or networks for supervised tasks, brought to the same tasks.
        choice: what is shown.
        note: called with a sentence where something begins or deserves a warning.

    Raises:
        ConfigError: the choice is for another kind of run.
        TaskSelectionError: there are no such tasks.
        DatasetError, DeviceError, CheckpointError, EnvironmentFault: as ``Evaluator``.
    """
    config, number = models[0].config, choice.num_tasks
    if number is not None and number < 1:
        raise TaskSelectionError(f"--num-tasks should be at least 1, not {number}")
    if isinstance(config, Config):
        if len(models) > 1:
            raise ConfigError("--beside is for runs on supervised tasks, which this is not")
        tasks = chosen_tasks(models[0], choice.tasks, number, note)
        return lambda folder: visualize(models[0], tasks, folder, choice.films, note)
    for option, given in {"--tasks": choice.tasks, "--gif": choice.films.gif}.items():
        if given:
            raise ConfigError(f"{option} is for runs of reinforcement learning, which this is not")
    number = number or _NUM_TASKS
    adapted = {model.name: evaluate_examples(model, number, _GRID_SIZE) for model in models}
    draw = _draw_sinusoids if isinstance(config, SineRunConfig) else _draw_images
    return lambda folder: draw(adapted, folder)


def chosen_tasks(
    saved: SavedModel, text: str | None, num_tasks: int | None, note: Callable[[str], None]
) -> np.ndarray:
    """The tasks to show, [M, P]: those that the text lists, or test tasks.

    Args:
        saved: the policy.
        text: "0.5;1.5", or with several parameters "0.3,-0.2;0.1,0.4"; None for test tasks.
        num_tasks: how many test tasks; None for four.
        note: called with a warning about tasks that training never drew from.

    Raises:
        EnvironmentFault: the environment cannot be made.
        TaskSelectionError: there are no such tasks.
    """
    config = saved.config
    assert isinstance(config, Config)
    if text is not None and num_tasks is not None:
        raise TaskSelectionError("choose one of --tasks and --num-tasks")
    with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
        if text is None:
            return sampled_tasks(env, num_tasks or _NUM_TASKS, config.evaluation.seed)
        tasks = _parsed_tasks(text, env)
        warning = extrapolation_warning(env, tasks)
    if warning:
        note(f"Warning: {warning}")
    return tasks


def visualize(
    saved: SavedModel,
    tasks: np.ndarray,
    folder: Path,
    films: Films,
    note: Callable[[str], None],
) -> None:
    """Adapts to the tasks and writes figures and films of what the policy does on them.

    Args:
        saved: the policy.
        tasks: [M, P].
        folder: where the files go.
        films: which moving pictures are made.
        note: called with a sentence where something begins or deserves a warning.

    Raises:
        OSError: a file cannot be written.
        RenderingError: the environment is drawn by MuJoCo, and this machine cannot.
        CheckpointError, DeviceError, EnvironmentFault, NumericalError: as ``Evaluator``.
    """
    wanted, config = films.mp4 or films.gif, saved.config
    assert isinstance(config, Config)
    with (
        closing(make_single_env(config)) as env,
        closing(make_single_env(config, frames=wanted)) as drawn_env,
        closing(Evaluator(tasks)) as evaluator,
    ):
        if drawn_env.render_mode is not None:
            check_drawing(drawn_env, tasks[0])
        note(f"Adapting iteration {saved.meta_iteration} of {saved.path} to {len(tasks)} tasks")
        evaluation = evaluator.evaluate(saved)
        assert isinstance(evaluation, Evaluation)
        replays = [
            replay_task(env, evaluation, task, num_episodes=_MAX_EPISODES)
            for task in range(len(tasks))
        ]
        _warn_of_inexact_replays(replays, note)
        is_planar = replays[0].replays[0][0].plane_position is not None
        _draw_figures(replays, config.env.id, folder)
        if is_planar and wanted:
            _film_paths(replays, config.env.id, folder, films)
        elif drawn_env.render_mode is not None:
            for task in range(len(tasks)):
                note(f"Filming task {task + 1} of {len(tasks)}: {replays[task].label}")
                _film_task(drawn_env, evaluation, task, config.env.id, folder, films)
        elif wanted:
            note("No film: the environment has no render mode 'rgb_array'.")


def _draw_figures(replays: Sequence[TaskReplays], env_id: str, folder: Path) -> None:
    first = replays[0].replays[0][0]
    if first.plane_position is not None:
        title = f"{env_id}: paths before adapting and after each step"
        _save(trajectory_figure(replays, title).figure, folder / "trajectories")
    elif first.tracked is not None:
        name = first.tracked.name
        title = f"{env_id}: {name.replace('_', ' ')} before adapting and after each step"
        _save(tracked_figure(replays, title), folder / name)
    else:
        title = f"{env_id}: reward before adapting and after each step"
        _save(reward_figure(replays, title), folder / "reward")


def _draw_sinusoids(adapted: Mapping[str, AdaptedTasks], folder: Path) -> None:
    """One picture of all tasks and networks."""
    _save(sinusoid_figure(adapted), folder / "sinusoids")


def _draw_images(adapted: Mapping[str, AdaptedTasks], folder: Path) -> None:
    """A picture of each episode and network."""
    for name, tasks in adapted.items():
        for task in range(len(tasks.curve.task)):
            figure = episode_figure(tasks, task, f"{name}, task {task}")
            save_figure(figure, folder / f"episode_{name}_{task:02d}.png")


def _save(figure: Figure, stem: Path) -> None:
    for ending in ("png", "svg"):
        save_figure(figure, stem.with_suffix(f".{ending}"))


def _film_paths(replays: Sequence[TaskReplays], env_id: str, folder: Path, films: Films) -> None:
    drawn = trajectory_figure(replays, f"{env_id}: before adapting and after each step")
    frames = animation_frames(drawn)
    _write_films(frames, folder / "trajectories", FRAMES_PER_SECOND, films)


def _film_task(
    env: gymnasium.Env[Any, Any],
    evaluation: Evaluation,
    task: int,
    env_id: str,
    folder: Path,
    films: Films,
) -> None:
    replays = replay_task(env, evaluation, task, num_episodes=1)
    rate = film_rate(replays.replays[0][0].control_step, env.metadata.get("render_fps"))
    frames = film_frames(replays, env_id, rate)
    _write_films(frames, folder / f"task-{task + 1}", rate, films)


def _write_films(
    frames: Iterator[np.ndarray], stem: Path, frames_per_second: float, films: Films
) -> None:
    if not films.gif:
        write_mp4(stem.with_suffix(".mp4"), frames, frames_per_second)
        return
    kept = list(frames)
    if films.mp4:
        write_mp4(stem.with_suffix(".mp4"), kept, frames_per_second)
    write_gif(stem.with_suffix(".gif"), kept, frames_per_second, MAX_GIF_BYTES)


def _warn_of_inexact_replays(replays: Sequence[TaskReplays], note: Callable[[str], None]) -> None:
    inexact = [task.label for task in replays if not task.exact]
    if inexact:
        note(
            f"Warning: played again, {', '.join(inexact)} did not give the rewards that were "
            "recorded: the environment is not a function of its seed, its task and the actions."
        )


def _parsed_tasks(text: str, env: ShardedEnv) -> np.ndarray:
    """The tasks in "0.3,-0.2;0.1,0.4", [M, P]."""
    names = env.task_parameter_names
    tasks = []
    for part in text.split(";"):
        numbers = [_parsed_number(number, text) for number in part.split(",")]
        if len(numbers) != len(names):
            count = "1 number" if len(names) == 1 else f"{len(names)} numbers"
            raise TaskSelectionError(
                f"--tasks {text}: each task should have {count} ({joined_entries(names)}), and "
                f"tasks be separated by semicolons; {part.strip()!r} has {len(numbers)}"
            )
        tasks.append(numbers)
    return np.array(tasks)


def _parsed_number(number: str, text: str) -> float:
    try:
        value = parse_number(number)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise TaskSelectionError(f"--tasks {text}: {number.strip()!r} is not a finite number")
    return value
