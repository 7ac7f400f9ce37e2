"""Pictures of few-shot episodes: support, queries, predicted and true classes."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from meta_rl.evaluation.evaluator import AdaptedTasks
from meta_rl.reporting.plain_text import plain_text

_RIGHT, _WRONG = "#0072B2", "#D55E00"


def episode_figure(tasks: AdaptedTasks, task: int, title: str) -> Figure:
    """The support set above, the queries with their predicted classes below.

    Args:
        tasks: adapted tasks.
        task: which of them.
        title: above the picture.
    """
    support, query = tasks.support, tasks.query
    num_columns = max(len(support.target[task]), len(query.target[task]))
    figure = Figure(figsize=(1.1 * num_columns + 0.6, 3.6), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.0, 1.3])[:, 0]
    above.suptitle(f"{plain_text(title)}: support", fontsize="medium", x=0.01, ha="left")
    for axes, image, label in zip(
        _row(above, num_columns), support.input[task], support.target[task].tolist(), strict=False
    ):
        _show(axes, image)
        axes.set_title(f"class {label}", fontsize="small")
    probability = torch.softmax(tasks.prediction[task, -1], dim=-1)
    predicted = probability.argmax(-1)
    num_right = int((predicted == query.target[task]).sum())
    num_steps = tasks.prediction.shape[1] - 1
    below.suptitle(
        f"queries after {num_steps} steps: {num_right} of {len(predicted)} right",
        fontsize="medium",
        x=0.01,
        ha="left",
    )
    for axes, image, true, guess, share in zip(
        _row(below, num_columns),
        query.input[task],
        query.target[task].tolist(),
        predicted.tolist(),
        probability.max(-1).values.tolist(),
        strict=False,
    ):
        _show(axes, image)
        axes.set_title(f"true {true}", fontsize="small")
        mark = "right" if true == guess else "wrong"
        axes.text(
            0.5,
            -0.08,
            f"says {guess}, {mark}\n{share:.0%} sure",
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize="small",
            color=_RIGHT if true == guess else _WRONG,
        )
    return figure


def _row(figure: SubFigure, num_columns: int) -> list[Axes]:
    """Empty places side by side."""
    row = list(figure.subplots(1, num_columns, squeeze=False)[0])
    for axes in row:
        axes.axis("off")
    return row


def _show(axes: Axes, image: Tensor) -> None:
    """[height, width, channel] in [0, 1]; one channel is drawn in grey."""
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(pixels.numpy(), cmap="gray", vmin=0.0, vmax=1.0)
