"""What adaptation did, as plain values: curves with intervals, references, and every task."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta_rl.curves.adaptation_curve import QUANTILE_95
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
from meta_rl.rollouts.task_words import shown_entries

_DIGITS = 4


def adaptation_data(comparison: Comparison) -> dict[str, Any]:
    """Return at each adaptation step over all tasks, with a 95 % interval.

    One run: the mean and its interval over tasks. Several: the interquartile mean over runs and
    tasks and its bootstrap interval over runs; references then show theirs.
    """
    runs, *references = comparison.groups
    several = len(runs.policies) > 1
    group_curve = _interquartile_curve if several else _mean_curve
    evaluation = runs.policies[0].saved.config.evaluation
    steps = runs.policies[0].step_sizes
    num_tasks = len(runs.curves[0].task)
    over = (
        f"{num_tasks} tasks ({comparison.tasks.words}), "
        f"{evaluation.episodes_per_task} episodes each"
    )
    if several:
        text = (
            f"Interquartile mean over {len(runs.policies)} runs and {over}. Interval: {BOOTSTRAP}."
        )
    else:
        text = f"Mean over {over}; the interval is over tasks."
    if steps:
        text += f" Step sizes: {', '.join(f'{size:g}' for size in steps)}."
    used = env_steps_used([policy.env_steps for policy in runs.policies])
    return {
        "statistic": "interquartile mean" if several else "mean",
        "text": text,
        "env_steps_used": rounded(used, 1),
        **group_curve(runs),
        "runs": [
            {
                "name": run_dir_of(policy.saved.path).resolve().name,
                "mean": rounded(
                    interquartile_mean(policy.curve.episode_return.mean(-1).T)
                    if several
                    else policy.curve.mean,
                    _DIGITS,
                ),
            }
            for policy in runs.policies
        ],
        "references": [{"name": group.name, **group_curve(group)} for group in references],
    }


def tasks_data(group: ModelGroup, task_parameter_names: Sequence[str]) -> dict[str, Any]:
    """Every task: its return at each step, and what the last step has gained over none."""
    curve, gains = mean_curve(group.curves), task_gains(group.curves)
    shown = shown_entries(len(task_parameter_names))
    num_tasks, num_pairs = len(curve.task), len(curve.task) * gains.num_runs
    num_episodes = curve.episode_return.shape[-1]
    intervals = QUANTILE_95 * curve.episode_return.std(-1, ddof=1) / np.sqrt(num_episodes)
    rows = zip(
        curve.task,
        curve.episode_return.mean(-1),
        intervals,
        gains.gain.tolist(),
        gains.interval.tolist(),
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
        "text": f"Mean return over {num_episodes} episodes of each of the "
        f"{num_tasks} tasks at each step."
        + (
            f" {len(shown) - 1} of the {len(task_parameter_names)} entries of a task are shown."
            if None in shown
            else ""
        ),
        "rows": [
            {
                "index": index,
                "task": [None if i is None else round(float(task[i]), 6) for i in shown],
                "returns": rounded(returns, _DIGITS),
                "intervals": rounded(task_intervals, _DIGITS),
                "gain": round(gain, _DIGITS),
                "gain_interval": round(interval, _DIGITS),
                "num_losing": losing,
                "num_clearly_losing": clearly,
            }
            for index, (
                task,
                returns,
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
    curve = mean_curve(group.curves)
    return {
        "mean": rounded(curve.mean, _DIGITS),
        "low": rounded(curve.mean - curve.interval, _DIGITS),
        "high": rounded(curve.mean + curve.interval, _DIGITS),
    }


def _interquartile_curve(group: ModelGroup) -> dict[str, Any]:
    means = interquartile_means(group.curves)
    # The bootstrap is over runs: of a single one it would claim certainty.
    known = np.nan if len(group.policies) == 1 else 1.0
    return {
        "mean": rounded(means.mean, _DIGITS),
        "low": rounded(known * means.low, _DIGITS),
        "high": rounded(known * means.high, _DIGITS),
    }
