"""A quantity over time, before adapting and after each step, against its target."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from meta_rl.reporting.palette import step_colour
from meta_rl.reporting.panels import panel_figure
from meta_rl.reporting.task_replays import TaskReplays
from meta_rl.rollouts.replay import Replay, Tracked

_WIDTH, _HEIGHT = 3.6, 2.7  # of a panel, inches
_BAND = (10, 90)  # percentiles over episodes
_TARGET_STYLE: dict[str, Any] = {"color": "black", "linewidth": 1.4, "linestyle": (0, (4, 2))}


def tracked_figure(tasks: Sequence[TaskReplays], title: str) -> Figure:
    """The quantity that the tasks are about, one panel per task, with its target.

    Args:
        tasks: whose replays have a ``tracked_value``.
        title: of the figure.
    """
    first = tasks[0].replays[0][0].tracked
    assert first is not None
    legend: list[Any] = [_band_patch(tasks)]
    if first.aim == "value":
        legend.append(Line2D([], [], **_TARGET_STYLE, label="target"))
    unit = f" ({first.unit})" if first.unit else ""
    figure, panels = panel_figure(
        tasks,
        title=title,
        axis_labels=(_time_label(tasks), f"{first.name.replace('_', ' ')}{unit}"),
        legend=legend,
        width=_WIDTH,
        height=_HEIGHT,
    )
    for panel, task in zip(panels, tasks, strict=True):
        _draw_series(panel, task, _tracked_value)
        tracked = task.replays[0][0].tracked
        assert tracked is not None
        _draw_target(panel, tracked)
    return figure


def reward_figure(tasks: Sequence[TaskReplays], title: str) -> Figure:
    """The reward of each step, one panel per task: what there is for any environment."""
    legend = [_band_patch(tasks)]
    figure, panels = panel_figure(
        tasks,
        title=title,
        axis_labels=(_time_label(tasks), "reward per step"),
        legend=legend,
        width=_WIDTH,
        height=_HEIGHT,
    )
    for panel, task in zip(panels, tasks, strict=True):
        _draw_series(panel, task, lambda replay: replay.reward)
    return figure


def series(replays: Sequence[Replay], value: Callable[[Replay], np.ndarray]) -> np.ndarray:
    """A quantity of several episodes, [N, T], nan after an episode's end."""
    values = [value(replay) for replay in replays]
    length = max(map(len, values))
    return np.stack([np.pad(v, (0, length - len(v)), constant_values=np.nan) for v in values])


def step_times(replay: Replay, num_steps: int) -> np.ndarray:
    """When each step ends, [num_steps]: seconds, or step numbers without a known duration."""
    return np.arange(1, num_steps + 1) * (replay.control_step or 1.0)


def _draw_series(panel: Axes, task: TaskReplays, value: Callable[[Replay], np.ndarray]) -> None:
    """The median over episodes as a line, in a band in which most of them are."""
    panel.grid(axis="y", color="#e8e8e8", linewidth=0.6)
    panel.set_axisbelow(True)
    for step, replays in enumerate(task.replays):
        values = series(replays, value)
        time = step_times(replays[0], values.shape[1])
        low, median, high = np.nanpercentile(values, (_BAND[0], 50, _BAND[1]), axis=0)
        colour = step_colour(step)
        panel.fill_between(time, low, high, color=colour, alpha=0.16, linewidth=0)
        panel.plot(time, median, color=colour, linewidth=1.6, zorder=3)


def _draw_target(panel: Axes, tracked: Tracked) -> None:
    """A line at the target value, or an arrow in the wanted direction."""
    if tracked.aim == "value":
        panel.axhline(tracked.target, zorder=4, **_TARGET_STYLE)
        return
    panel.axhline(0.0, color="#444444", linewidth=0.8, zorder=1)
    wanted = "\N{UPWARDS ARROW} wanted" if tracked.target > 0 else "\N{DOWNWARDS ARROW} wanted"
    panel.text(0.02, 0.96, wanted, transform=panel.transAxes, va="top", fontsize=9)


def _tracked_value(replay: Replay) -> np.ndarray:
    assert replay.tracked_value is not None
    return replay.tracked_value


def _band_patch(tasks: Sequence[TaskReplays]) -> Patch:
    label = f"{_BAND[0]} to {_BAND[1]} % of {len(tasks[0].replays[0])} episodes"
    return Patch(color=step_colour(0), alpha=0.2, linewidth=0, label=label)


def _time_label(tasks: Sequence[TaskReplays]) -> str:
    return "step" if tasks[0].replays[0][0].control_step is None else "time (s)"
