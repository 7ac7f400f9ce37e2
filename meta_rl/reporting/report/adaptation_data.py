"""What adaptation did, as plain values: curves with intervals, references, and every task."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta_rl.curves.adaptation_curve import QUANTILE_95, AdaptationCurve
from meta_rl.evaluation.comparison import Comparison, ModelGroup
from meta_rl.evaluation.evaluation_summary import (
    BOOTSTRAP,
    env_steps_used,
    interquartile_means,
    mean_curve,
    task_gains,
)
from meta_rl.ops.statistics import interquartile_mean
from meta_rl.reporting.report.packing import rounded
from meta_rl.reporting.report.run_record import run_dir_of
from meta_rl.reporting.shown_steps import shown_steps
from meta_rl.rollouts.task_words import shown_entries

_DIGITS = 4


def quantity_data(curve: AdaptationCurve) -> dict[str, Any]:
    """What the page calls the values, and which of them are good."""
    return {
        "label": curve.label,
        "axis": "undiscounted return" if curve.counts_episodes else curve.label,
        "losing": "lose return" if curve.counts_episodes else f"end with a worse {curve.label}",
        "lower_is_better": curve.lower_is_better,
    }


def adaptation_data(comparison: Comparison) -> dict[str, Any]:
    """Values at each adaptation step over all tasks, with a 95 % interval.

    One run: the mean and its interval over tasks. Several of one setting: the interquartile mean
    over runs and tasks and its bootstrap interval over runs; other groups then show theirs.
    ``further`` has the other quantities of supervised tasks.
    """
    runs, *others = comparison.groups
    several = len(runs.models) > 1
    group_curve = _interquartile_curve if several else _mean_curve
    steps = runs.models[0].step_sizes
    curve = runs.curves[0]
    over = f"{len(curve.task)} tasks ({comparison.tasks.words})"
    if curve.counts_episodes:
        over += f", {curve.value.shape[-1]} episodes each"
    if several:
        text = f"Interquartile mean over {len(runs.models)} runs and {over}. Interval: {BOOTSTRAP}."
    else:
        text = f"Mean over {over}; the interval is over tasks."
    if steps:
        text += f" Step sizes: {', '.join(f'{size:g}' for size in steps)}."
    return {
        "statistic": "interquartile mean" if several else "mean",
        "text": text,
        "steps": shown_steps(len(curve.mean)),
        "env_steps_used": rounded(env_steps_used(runs.env_steps), 1) if runs.env_steps else None,
        **group_curve(runs),
        "runs": [
            {
                "name": run_dir_of(model.saved.path).resolve().name,
                "mean": rounded(
                    interquartile_mean(model.curve.task_value.T) if several else model.curve.mean,
                    _DIGITS,
                ),
            }
            for model in runs.models
        ],
        "references": [{"name": group.name, **group_curve(group)} for group in others],
        "further": [
            {
                "label": quantity,
                "curves": [{"name": g.name, **_quantity(g, quantity)} for g in comparison.groups],
            }
            for quantity in list(curve.quantities)[:-1]
        ],
    }


def tasks_data(group: ModelGroup, task_parameter_names: Sequence[str]) -> dict[str, Any]:
    """Every task: its value at each step, and what the last step has gained over none."""
    curve, gains = mean_curve(group.curves), task_gains(group.curves)
    shown = shown_entries(len(task_parameter_names))
    num_tasks, num_pairs = len(curve.task), len(curve.task) * gains.num_runs
    num_episodes = curve.value.shape[-1]
    intervals = np.full_like(curve.task_value, np.nan)
    if curve.counts_episodes:
        intervals = QUANTILE_95 * curve.value.std(-1, ddof=1) / np.sqrt(num_episodes)
    measured = (
        f"Mean return over {num_episodes} episodes"
        if curve.counts_episodes
        else (f"{curve.label.capitalize()} over the queries")
    )
    rows = zip(
        curve.task,
        curve.task_value,
        intervals,
        gains.gain.tolist(),
        rounded(gains.interval, _DIGITS),
        gains.num_losing_runs.tolist(),
        gains.num_clearly_losing_runs.tolist(),
        strict=True,
    )
    return {
        "parameter_names": shown_names(task_parameter_names),
        "num_runs": gains.num_runs,
        "num_pairs": num_pairs,
        "num_losing": int(gains.num_losing_runs.sum()),
        "num_clearly_losing": int(gains.num_clearly_losing_runs.sum()),
        "text": f"{measured} of each of the {num_tasks} tasks at each step."
        + (
            f" {len(shown) - 1} of the {len(task_parameter_names)} entries of a task are shown."
            if None in shown
            else ""
        ),
        "rows": [
            {
                "index": index,
                "task": [None if i is None else round(float(task[i]), 6) for i in shown],
                "values": rounded(values, _DIGITS),
                "intervals": rounded(task_intervals, _DIGITS),
                "gain": round(gain, _DIGITS),
                "gain_interval": interval,
                "num_losing": losing,
                "num_clearly_losing": clearly,
            }
            for index, (
                task,
                values,
                task_intervals,
                gain,
                interval,
                losing,
                clearly,
            ) in enumerate(rows)
        ],
    }


def shown_names(task_parameter_names: Sequence[str]) -> list[str]:
    """Headings for the entries of a task that are shown; dots for those between."""
    shown = shown_entries(len(task_parameter_names))
    return ["..." if index is None else task_parameter_names[index] for index in shown]


def _mean_curve(group: ModelGroup) -> dict[str, Any]:
    return _quantity(group, group.curves[0].name)


def _quantity(group: ModelGroup, name: str) -> dict[str, Any]:
    mean, interval = mean_curve(group.curves).means[name]
    return {
        "mean": rounded(mean, _DIGITS),
        "low": rounded(mean - interval, _DIGITS),
        "high": rounded(mean + interval, _DIGITS),
    }


def _interquartile_curve(group: ModelGroup) -> dict[str, Any]:
    means = interquartile_means(group.curves)
    # The bootstrap is over runs: of a single one it would claim certainty.
    known = np.nan if len(group.models) == 1 else 1.0
    return {
        "mean": rounded(means.mean, _DIGITS),
        "low": rounded(known * means.low, _DIGITS),
        "high": rounded(known * means.high, _DIGITS),
    }
