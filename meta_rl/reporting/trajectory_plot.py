"""Paths in the plane, before adapting and after each step: the MAML paper's figure 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from meta_rl.reporting.palette import step_colour
from meta_rl.reporting.panels import panel_figure
from meta_rl.reporting.task_replays import TaskReplays
from meta_rl.rollouts.replay import Goal, Replay

_NUM_THIN_PATHS = 4
# Of the paths' points on each side, so that one stray path does not shrink all others.
_CUT_SHARE = 0.001


@dataclass(frozen=True)
class TrajectoryFigure:
    """A figure and what moves in it.

    Attributes:
        figure: the figure.
        paths: each line and the places that it joins, [T + 1, 2].
    """

    figure: Figure
    paths: list[tuple[Line2D, np.ndarray]]


def trajectory_figure(tasks: Sequence[TaskReplays], title: str) -> TrajectoryFigure:
    """One panel per task: its paths in one colour per adaptation step, and its goal.

    Single episodes are thin; the mean place of all of them at each time is thick.

    Args:
        tasks: whose replays have a ``plane_position``.
        title: of the figure.
    """
    num_thin = min(_NUM_THIN_PATHS, len(tasks[0].replays[0]))
    thin_label = f"one episode (thick: mean of {len(tasks[0].replays[0])})"
    legend = [
        Line2D([], [], color=step_colour(0), linewidth=0.7, label=thin_label),
        Line2D([], [], **_RING, markeredgecolor="black", label="goal, square to scale"),
    ]
    figure, panels = panel_figure(
        tasks, title=title, axis_labels=("x", "y"), legend=legend, width=2.9, height=3.2
    )
    paths: list[tuple[Line2D, np.ndarray]] = []
    for panel, task in zip(panels, tasks, strict=True):
        for step, replays in enumerate(task.replays):
            thin = {"color": step_colour(step), "linewidth": 0.7, "alpha": 0.45}
            for replay in replays[:num_thin]:
                assert replay.plane_position is not None
                paths.append(_draw_path(panel, replay.plane_position, zorder=2, **thin))
        for step, replays in enumerate(task.replays):
            thick = {"color": step_colour(step), "linewidth": 2.2}
            outline = [withStroke(linewidth=3.8, foreground="white")]
            mean = mean_path(replays)
            paths.append(_draw_path(panel, mean, zorder=3, path_effects=outline, **thick))
        panel.plot(*paths[-1][1][0], marker="o", markersize=4, color="black", zorder=4)
        goal = task.replays[0][0].goal
        if goal is not None:
            _draw_goal(panel, goal)
        panel.set_aspect("equal", adjustable="box")
        panel.grid(color="#e8e8e8", linewidth=0.6)
        panel.set_axisbelow(True)
    _set_limits(panels[0], tasks, [places for _, places in paths])
    # Panels of a given shape need the layout twice; saving does it once more.
    figure.draw_without_rendering()
    return TrajectoryFigure(figure, paths)


def mean_path(replays: Sequence[Replay]) -> np.ndarray:
    """The mean place at each time, [T + 1, 2]; an episode that has ended stays where it ended."""
    paths = [replay.plane_position for replay in replays if replay.plane_position is not None]
    length = max(map(len, paths))
    padded = [np.pad(path, ((0, length - len(path)), (0, 0)), mode="edge") for path in paths]
    mean: np.ndarray = np.mean(padded, axis=0)
    return mean


_RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 11,
    "markerfacecolor": "none",
    "linestyle": "none",
}


def _draw_path(panel: Axes, places: np.ndarray, **style: Any) -> tuple[Line2D, np.ndarray]:
    (line,) = panel.plot(*places.T, solid_joinstyle="round", **style)
    return line, places


def _draw_goal(panel: Axes, goal: Goal) -> None:
    """The region that ends the task, to scale, and a ring that shows where to look for it."""
    corner, width = goal.position - goal.half_width, 2 * goal.half_width
    panel.add_patch(Rectangle(tuple(corner), width, width, color="black", linewidth=0, zorder=5))
    panel.plot(*goal.position, **_RING, markeredgecolor="white", markeredgewidth=3, zorder=5)
    panel.plot(*goal.position, **_RING, markeredgecolor="black", markeredgewidth=1.2, zorder=5)


def _set_limits(panel: Axes, tasks: Sequence[TaskReplays], paths: Sequence[np.ndarray]) -> None:
    """A square around all goals and nearly all of the paths."""
    places = np.concatenate(paths)
    low, high = np.quantile(places, (_CUT_SHARE, 1 - _CUT_SHARE), axis=0)
    goals = [task.replays[0][0].goal for task in tasks]
    known = np.stack([goal.position for goal in goals if goal is not None] or [low])
    low, high = np.minimum(low, known.min(0)), np.maximum(high, known.max(0))
    centre, half_width = (low + high) / 2, 0.54 * float((high - low).max()) + 1e-3
    panel.set_xlim(centre[0] - half_width, centre[0] + half_width)
    panel.set_ylim(centre[1] - half_width, centre[1] + half_width)
