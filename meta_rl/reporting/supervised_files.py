"""What ``evaluate`` and ``visualize`` write about supervised runs."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from meta_rl.curves.supervised_curve import SupervisedCurve, half_width
from meta_rl.evaluation.supervised_evaluation import AdaptedTasks
from meta_rl.reporting.adaptation_plot import save_figure
from meta_rl.reporting.few_shot_episodes import episode_figure
from meta_rl.reporting.plain_text import plain_text
from meta_rl.reporting.sinusoids import sinusoid_figure


def write_evaluation(
    folder: Path, curves: Mapping[str, SupervisedCurve], task_parameter_names: tuple[str, ...]
) -> None:
    """Writes every task as a row per step, the means with their intervals, and a picture.

    Args:
        folder: an empty one.
        curves: by the name of the initialisation.
        task_parameter_names: names of the entries of a task.
    """
    quantities = list(next(iter(curves.values())).quantities)
    with (folder / "evaluation.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["run", "task_index", *task_parameter_names, "adaptation_step", *quantities]
        )
        for name, curve in curves.items():
            for index, step, values in curve.rows():
                writer.writerow([name, index, *curve.task[index].tolist(), step, *values])
    summary = {
        name: {
            quantity: {"mean": value.mean(0).tolist(), "interval": half_width(value).tolist()}
            for quantity, value in curve.quantities.items()
        }
        for name, curve in curves.items()
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    for ending in ("png", "svg"):
        save_figure(curve_figure(curves), folder / f"curve.{ending}")


def curve_figure(curves: Mapping[str, SupervisedCurve]) -> Figure:
    """What the papers state against adaptation steps, with 95 % intervals over tasks."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        steps = range(len(curve.mean))
        axes.plot(steps, curve.mean, marker="o", markersize=3, label=plain_text(name))
        low, high = curve.mean - curve.interval, curve.mean + curve.interval
        axes.fill_between(steps, low, high, alpha=0.2)
    axes.set_xlabel("adaptation steps")
    axes.set_ylabel(list(next(iter(curves.values())).quantities)[-1])
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def write_pictures(folder: Path, adapted: Mapping[str, AdaptedTasks], *, is_sine: bool) -> None:
    """Writes one picture of all sinusoids, or one of each image episode and initialisation."""
    if is_sine:
        figure = sinusoid_figure(adapted)
        for ending in ("png", "svg"):
            save_figure(figure, folder / f"sinusoids.{ending}")
        return
    for name, tasks in adapted.items():
        for task in range(len(tasks.task)):
            figure = episode_figure(tasks, task, f"{name}, task {task}")
            save_figure(figure, folder / f"episode_{name}_{task:02d}.png")
