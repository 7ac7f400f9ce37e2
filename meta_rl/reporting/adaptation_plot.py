"""The picture of adaptation: returns, losses or accuracies against adaptation steps."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from meta_rl.evaluation.comparison import ModelGroup
from meta_rl.evaluation.evaluation_summary import mean_curve
from meta_rl.reporting.plain_text import plain_text

# Okabe & Ito's colours, which people with any colour vision tell apart; markers and dashes say
# the same once more. The runs come first.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def adaptation_figure(groups: Sequence[ModelGroup], title: str) -> Figure:
    """Draws the mean over tasks, with the 95 % interval over tasks.

    A group of several runs also shows each of them as a thin line. One that does not adapt is a
    dashed line across the picture, as the oracle is in Finn et al. 2017, figures 4 and 5.

    Args:
        groups: the runs, then the references.
        title: above the picture.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, group in enumerate(groups):
        colour, marker = (choices[number % len(choices)] for choices in (_COLOURS, _MARKERS))
        name = plain_text(group.name)
        label = name if len(group.models) == 1 else f"{name}, mean"
        if len(mean_curve(group.curves).mean) == 1:
            _draw_level(axes, group, colour, label)
        else:
            _draw_curve(axes, group, colour, marker, label)
    num_tasks = len(groups[0].curves[0].task)
    thin_lines = ", thin: single runs" if any(len(group.models) > 1 for group in groups) else ""
    axes.set_xlabel("adaptation steps")
    axes.set_ylabel(groups[0].curves[0].label)
    axes.set_title(plain_text(title), fontsize="medium", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.03)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside lower center",
        ncols=min(3, len(groups)),
        frameon=False,
        title=f"mean over {num_tasks} tasks, shaded: 95 % interval over tasks{thin_lines}",
        title_fontsize="small",
        fontsize="small",
    )
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure in the format of the path's ending; the same figure, the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    # Text stays text, so that it can be found and scales with the reader's font.
    with matplotlib.rc_context({"svg.hashsalt": "meta-rl", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=160, metadata=metadata)


def _draw_curve(axes: Axes, group: ModelGroup, colour: str, marker: str, label: str) -> None:
    curve = mean_curve(group.curves)
    steps = np.arange(len(curve.mean))
    if len(group.models) > 1:
        for run in group.curves:
            axes.plot(steps, run.mean, color=colour, linewidth=0.8, alpha=0.5)
    axes.fill_between(
        steps,
        curve.mean - curve.interval,
        curve.mean + curve.interval,
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    width = 1.5 if group.is_reference else 2.5
    axes.plot(steps, curve.mean, color=colour, marker=marker, linewidth=width, label=label)


def _draw_level(axes: Axes, group: ModelGroup, colour: str, label: str) -> None:
    curve = mean_curve(group.curves)
    (mean,), (interval,) = curve.mean, curve.interval
    if np.isfinite(interval):
        axes.axhspan(mean - interval, mean + interval, color=colour, alpha=0.1, linewidth=0)
    axes.axhline(mean, color=colour, linestyle="--", linewidth=1.8, label=label)
