"""What our figures have in common: panels, one per task, with the returns above each."""

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from meta_rl.reporting.numbers import format_number
from meta_rl.reporting.palette import step_colour, step_label
from meta_rl.reporting.plain_text import plain_text
from meta_rl.reporting.task_replays import TaskReplays

_MAX_COLUMNS = 4
_MIN_WIDTH = 5.6  # inches, for title and legend
_LEGEND_ENTRY, _LEGEND_LINE = 2.0, 0.2  # inches
_TITLE_HEIGHT = 0.5  # inches
_GREY = "#444444"


def panel_figure(
    tasks: Sequence[TaskReplays],
    *,
    title: str,
    axis_labels: tuple[str, str],
    legend: Sequence[Artist] = (),
    width: float,
    height: float,
) -> tuple[Figure, list[Axes]]:
    """An empty figure with one panel per task, all on the same scale.

    Above each panel stand its task and, in the colour of each adaptation step, the mean return.
    A legend of the colours is below.

    Args:
        tasks: what the panels are for.
        title: of the figure.
        axis_labels: of the horizontal and the vertical axis.
        legend: labelled artists that the legend has beside the colours.
        width: of a panel, inches.
        height: of a panel, inches.
    """
    # Up to three stand in one row; more make a block.
    num_columns = len(tasks) if len(tasks) <= 3 else math.ceil(math.sqrt(len(tasks)))
    num_columns = min(num_columns, _MAX_COLUMNS)
    num_rows = math.ceil(len(tasks) / num_columns)
    figure_width = max(width * num_columns, _MIN_WIDTH)
    colours = [
        Line2D([], [], color=step_colour(step), linewidth=2.5, label=step_label(step))
        for step in range(len(tasks[0].replays))
    ]
    handles = [*colours, *legend]
    num_lines = math.ceil(len(handles) / max(2, int(figure_width / _LEGEND_ENTRY)))
    figure_height = height * num_rows + _TITLE_HEIGHT + _LEGEND_LINE * num_lines
    figure = Figure((figure_width, figure_height), layout="constrained")
    FigureCanvasAgg(figure)
    returns = f"In colour above each panel: mean return of {tasks[0].num_episodes} episodes"
    figure.suptitle(f"{plain_text(title)}\n{returns}", fontsize=10)
    grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    panels: list[Axes] = list(grid.ravel())
    for unused in panels[len(tasks) :]:
        unused.remove()
    panels = panels[: len(tasks)]
    for index, (panel, task) in enumerate(zip(panels, tasks, strict=True)):
        panel.set_title(plain_text(task.label), fontsize=10, pad=19)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8, color=_GREY, labelcolor=_GREY)
        # Where a column's last panel is not in the last row, it has the tick labels.
        is_lowest = index + num_columns >= len(tasks)
        panel.xaxis.set_tick_params(labelbottom=is_lowest)
        panel.set_xlabel(plain_text(axis_labels[0]) if is_lowest else "", fontsize=9)
        panel.set_ylabel(plain_text(axis_labels[1]) if index % num_columns == 0 else "", fontsize=9)
        _write_returns(panel, task)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=math.ceil(len(handles) / num_lines),
        frameon=False,
        fontsize=9,
    )
    return figure, panels


def _write_returns(panel: Axes, task: TaskReplays) -> None:
    """The mean return of each adaptation step in a row above the panel."""
    num_steps = len(task.mean_return)
    for step, mean_return in enumerate(task.mean_return):
        panel.text(
            (step + 0.5) / num_steps,
            1.02,
            format_number(float(mean_return)),
            transform=panel.transAxes,
            ha="center",
            va="bottom",
            fontsize=min(9, 40 / num_steps),  # four fit at full size
            fontweight="bold",
            color=step_colour(step),
        )
