"""Pictures of sinusoids: what a network says before adapting and after each of some steps."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meta_rl.evaluation.evaluator import AdaptedTasks
from meta_rl.reporting.plain_text import plain_text

_NUM_STEPS_SHOWN = 5


def sinusoid_figure(adapted: Mapping[str, AdaptedTasks]) -> Figure:
    """A row per task and a column per initialisation, as figure 2 of Nichol et al. 2018.

    Args:
        adapted: the same tasks, by the name of the initialisation.
    """
    num_tasks = len(next(iter(adapted.values())).curve.task)
    figure = Figure(figsize=(4.2 * len(adapted), 2.9 * num_tasks + 0.6), layout="constrained")
    axes = figure.subplots(num_tasks, len(adapted), sharex=True, sharey="row", squeeze=False)
    for column, (name, tasks) in enumerate(adapted.items()):
        for row in range(num_tasks):
            _draw(axes[row, column], tasks, row)
        axes[0, column].set_title(plain_text(name), fontsize="medium", loc="left")
        axes[-1, column].set_xlabel("x")
        axes[-1, column].legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            ncols=3,
            frameon=False,
            fontsize="small",
        )
    for row in range(num_tasks):
        amplitude, phase = next(iter(adapted.values())).curve.task[row]
        axes[row, 0].set_ylabel(f"{amplitude:.2f} sin(x - {phase:.2f})")
    return figure


def shown_steps(num_steps: int) -> list[int]:
    """Up to five adaptation steps, evenly spread, the first and the last among them."""
    return sorted({round(s) for s in np.linspace(0, num_steps, _NUM_STEPS_SHOWN)})


def _draw(axes: Axes, tasks: AdaptedTasks, row: int) -> None:
    x = tasks.query.input[row, :, 0]
    axes.plot(x, tasks.query.target[row, :, 0], color="black", linewidth=1.6, label="truth")
    steps: Sequence[int] = shown_steps(tasks.prediction.shape[1] - 1)
    colours = mpl.colormaps["viridis"](np.linspace(0.9, 0.1, len(steps)))
    for step, colour in zip(steps, colours, strict=True):
        label = "before adapting" if step == 0 else f"{step} step{'s' if step > 1 else ''}"
        style = "--" if step == 0 else "-"
        prediction = tasks.prediction[row, step, :, 0]
        axes.plot(x, prediction, style, color=colour, linewidth=1.2, label=label)
    axes.plot(
        tasks.support.input[row, :, 0],
        tasks.support.target[row, :, 0],
        "^",
        color="#D55E00",
        markersize=6,
        label="support",
    )
    axes.spines[["top", "right"]].set_visible(False)
