"""What ``meta-rl evaluate`` writes: every number as a row, and the statistics for machines."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meta_rl.config import plain_settings
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.comparison import Comparison, ModelGroup
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

    ``evaluation.csv`` has a row per episode, or per supervised task, with the columns kind (``run``
    or ``reference``), name (of the group), run (its path), seed, meta_iteration, task_index, one
    per task parameter, adaptation_step, and what was found: episode and episode_return, or loss and
    accuracy. ``summary.json`` is ``comparison_summary``; a number that does not exist is null.

    Raises:
        OSError: they cannot be written.
    """
    write_durably(folder / "evaluation.csv", _table(comparison).encode())
    summary = _without_nan(comparison_summary(comparison))
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    write_durably(folder / "summary.json", (text + "\n").encode())


def _table(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    value_names = comparison.groups[0].curves[0].value_names
    writer.writerow(
        [
            *("kind", "name", "run", "seed", "meta_iteration", "task_index"),
            *comparison.task_parameter_names,
            *("adaptation_step", *value_names),
        ]
    )
    for group in comparison.groups:
        kind = "reference" if group.is_reference else "run"
        for model in group.models:
            saved, task = model.saved, model.curve.task.tolist()
            own = (kind, group.name, saved.path, saved.config.run.seed, saved.meta_iteration)
            for index, step, values in model.curve.rows():
                writer.writerow([*own, index, *task[index], step, *values])
    return text.getvalue()


def comparison_summary(comparison: Comparison) -> dict[str, Any]:
    """All that was measured, as plain values."""
    first = comparison.groups[0].models[0]
    config, section = first.saved.config, first.saved.config.task_section
    settings = plain_settings(config)

    def of_episodes(name: str, key: str) -> dict[str, Any]:
        return {key: settings[name]} if first.curve.counts_episodes else {}

    return {
        section: config.model_dump(mode="json")[section],
        **of_episodes("rollout.horizon", "horizon"),
        "tasks": {
            "source": comparison.tasks.words,
            "held_out": comparison.tasks.held_out,
            "parameters": list(comparison.task_parameter_names),
            "values": first.curve.task.tolist(),
        },
        **of_episodes("evaluation.episodes_per_task", "episodes_per_task"),
        "evaluation_seed": config.evaluation.seed,
        "warnings": list(comparison.warnings),
        "groups": [group_summary(group) for group in comparison.groups],
        "process": describe_process(),
    }


def group_summary(group: ModelGroup) -> dict[str, Any]:
    """The statistics of one group as plain values, over its runs and for each of them."""
    curve = mean_curve(group.curves)
    summary: dict[str, Any] = {
        "name": group.name,
        "kind": "reference" if group.is_reference else "run",
        "mean": curve.mean.tolist(),
        "interval": curve.interval.tolist(),
        **_further(curve),
        **({"env_steps_used": env_steps_used(group.env_steps).tolist()} if group.env_steps else {}),
        "policies": [
            {
                "run": str(model.saved.path),
                "seed": model.saved.config.run.seed,
                "meta_iteration": model.saved.meta_iteration,
                "step_sizes": list(model.step_sizes),
                "mean": model.curve.mean.tolist(),
                "interval": model.curve.interval.tolist(),
            }
            for model in group.models
        ],
    }
    if len(group.models) > 1:
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


def _further(curve: AdaptationCurve) -> dict[str, Any]:
    """Of supervised tasks: what the mean is of, and all that was measured."""
    if curve.counts_episodes:
        return {}
    return {
        "quantity": curve.name,
        "quantities": {
            name: {"mean": mean.tolist(), "interval": interval.tolist()}
            for name, (mean, interval) in curve.means.items()
        },
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_nan(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
