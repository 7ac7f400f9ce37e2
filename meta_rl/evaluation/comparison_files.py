"""What ``meta-rl evaluate`` writes: every episode as a row, and the statistics for machines."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.evaluation.comparison import Comparison, PolicyGroup
from meta_rl.evaluation.evaluation_summary import (
    BOOTSTRAP,
    env_steps_used,
    interquartile_means,
    mean_curve,
    task_gains,
)
from meta_rl.runs.atomic_files import write_durably
from meta_rl.runs.provenance import describe_process


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Writes ``evaluation.csv`` and ``summary.json``.

    ``evaluation.csv`` has a row per episode with the columns kind (``run`` or ``reference``),
    name (of the group), run (its path), seed, meta_iteration, task_index, one per task parameter,
    adaptation_step, episode, episode_return. ``summary.json`` is ``comparison_summary``, where a
    number that does not exist is null.

    Raises:
        OSError: they cannot be written.
    """
    write_durably(folder / "evaluation.csv", _episode_table(comparison).encode())
    summary = _without_nan(comparison_summary(comparison))
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    write_durably(folder / "summary.json", (text + "\n").encode())


def _episode_table(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("kind", "name", "run", "seed", "meta_iteration", "task_index"),
            *comparison.task_parameter_names,
            *("adaptation_step", "episode", "episode_return"),
        ]
    )
    for group in comparison.groups:
        kind = "reference" if group.is_reference else "run"
        for policy in group.policies:
            saved, task = policy.saved, policy.curve.task.tolist()
            policy_columns = (
                *(kind, group.name, saved.path),
                *(saved.config.run.seed, saved.meta_iteration),
            )
            for (index, step, episode), value in np.ndenumerate(policy.curve.episode_return):
                writer.writerow([*policy_columns, index, *task[index], step, episode, value])
    return text.getvalue()


def comparison_summary(comparison: Comparison) -> dict[str, Any]:
    """All that was measured, as plain values."""
    first = comparison.groups[0].policies[0]
    config = first.saved.config
    return {
        "env": config.env.model_dump(mode="json"),
        "horizon": config.rollout.horizon,
        "tasks": {
            "source": comparison.tasks.words,
            "held_out": comparison.tasks.held_out,
            "parameters": list(comparison.task_parameter_names),
            "values": first.curve.task.tolist(),
        },
        "episodes_per_task": config.evaluation.episodes_per_task,
        "evaluation_seed": config.evaluation.seed,
        "warnings": list(comparison.warnings),
        "groups": [group_summary(group) for group in comparison.groups],
        "process": describe_process(),
    }


def group_summary(group: PolicyGroup) -> dict[str, Any]:
    """The statistics of one group as plain values, over its runs and for each of them."""
    curve = mean_curve(group.curves)
    summary: dict[str, Any] = {
        "name": group.name,
        "kind": "reference" if group.is_reference else "run",
        "mean": curve.mean.tolist(),
        "interval": curve.interval.tolist(),
        "env_steps_used": env_steps_used([policy.env_steps for policy in group.policies]).tolist(),
        "policies": [
            {
                "run": str(policy.saved.path),
                "seed": policy.saved.config.run.seed,
                "meta_iteration": policy.saved.meta_iteration,
                "step_sizes": policy.step_sizes,
                "mean": policy.curve.mean.tolist(),
                "interval": policy.curve.interval.tolist(),
            }
            for policy in group.policies
        ],
    }
    if len(group.policies) > 1:
        means = interquartile_means(group.curves)
        summary["interquartile_mean"] = {
            "mean": means.mean.tolist(),
            "low": means.low.tolist(),
            "high": means.high.tolist(),
            "interval": BOOTSTRAP,
        }
    if len(curve.mean) > 1:
        gains = task_gains(group.curves)
        summary["adapting"] = {
            "losing_share": gains.losing_share,
            "clearly_losing_share": gains.clearly_losing_share,
            "tasks": [
                {
                    "task": task.tolist(),
                    "before": before,
                    "after": after,
                    "gain": gain,
                    "gain_interval": interval,
                    "num_losing_runs": int(losing),
                    "num_clearly_losing_runs": int(clearly),
                }
                for task, before, after, gain, interval, losing, clearly in zip(
                    gains.task,
                    gains.before.tolist(),
                    gains.after.tolist(),
                    gains.gain.tolist(),
                    gains.interval.tolist(),
                    gains.num_losing_runs,
                    gains.num_clearly_losing_runs,
                    strict=True,
                )
            ],
        }
    return summary


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_nan(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
