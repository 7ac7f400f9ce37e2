"""Everything that the report's page shows, as plain values."""

from collections.abc import Sequence
from typing import Any

from meta_rl.config import AnyConfig, plain_settings
from meta_rl.evaluation.comparison import Comparison
from meta_rl.reporting.report.adaptation_data import (
    adaptation_data,
    quantity_data,
    shown_names,
    tasks_data,
)
from meta_rl.reporting.report.learning_data import learning_data
from meta_rl.reporting.report.recorded_replays import ShownTask
from meta_rl.reporting.report.replays_data import replays_data
from meta_rl.reporting.report.run_record import RunRecord
from meta_rl.reporting.report.settings_data import run_data, settings_data

_NOTHING_TO_DRAW = (
    "This environment offers neither poses nor places in the plane, so there is nothing to replay."
)


def report_data(
    records: Sequence[RunRecord],
    comparison: Comparison,
    replays: Sequence[ShownTask],
    fits: dict[str, Any] | None = None,
    *,
    replayed: RunRecord,
    warnings: Sequence[str],
    created: str,
    version: str,
) -> dict[str, Any]:
    """Gathers the report; a function of what it is given alone.

    Args:
        records: the runs.
        comparison: their evaluation, the first group being these runs.
        replays: episodes of ``replayed``; none where they could not be played again.
        fits: of ``replayed``, if its tasks are functions that can be drawn.
        replayed: one of ``records``.
        warnings: what a reader should know before all else.
        created: when, in words.
        version: of this package.
    """
    runs = comparison.groups[0]
    config, curve = records[0].saved.config, runs.curves[0]
    names = comparison.task_parameter_names
    adaptation = adaptation_data(comparison)
    drawn = replays_data(replays, replayed.name) if replays else None
    tasks = tasks_data(runs, names)
    return {
        "title": comparison.title,
        "version": version,
        "created": created,
        "warnings": [
            *warnings,
            *(_unfinished(record) for record in records if not record.is_finished),
            *_inexact(replays),
        ],
        "runs": [run_data(record) for record in records],
        "settings": settings_data([record.saved.config for record in records]),
        "quantity": quantity_data(curve),
        "evaluation": {
            "per_task": _per_task(config),
            "held_out": comparison.tasks.held_out,
            "about": runs.name if len(records) > len(runs.models) else None,
        },
        "adaptation": adaptation,
        "tasks": {**tasks, "parameter_labels": _parameter_labels(replays, shown_names(names))},
        "learning": [learning_data(record, len(records)) for record in records],
        "replays": drawn,
        "replays_missing": _NOTHING_TO_DRAW if curve.counts_episodes else None,
        "fits": fits,
    }


def _per_task(config: AnyConfig) -> str:
    """How much is measured of a task at each step, in words."""
    settings = plain_settings(config)
    episodes = settings.get("evaluation.episodes_per_task")
    if episodes is not None:
        return f"{episodes} episodes per task and step"
    shots, queries = (settings[f"evaluation.{name}"] for name in ("shots", "queries"))
    each = " of a class" if "few_shot.ways" in settings else ""
    return f"{shots} support and {queries} query examples{each}"


def _parameter_labels(replays: Sequence[ShownTask], names: Sequence[str]) -> list[str]:
    """Names of the task parameters for people, with the unit where it is known."""
    labels = [name.replace("_", " ") for name in names]
    tracked = replays[0].first_replays[0].tracked if replays else None
    if len(labels) == 1 and tracked is not None and tracked.aim == "value":
        return [f"target {labels[0]}, {tracked.unit}"]
    return labels


def _unfinished(record: RunRecord) -> str:
    return (
        f"{record.name} is unfinished: {record.completed_iterations} of "
        f"{record.saved.config.run.meta_iterations} meta-iterations are complete, and the policy "
        f"reported is that of iteration {record.saved.meta_iteration}."
    )


def _inexact(replays: Sequence[ShownTask]) -> list[str]:
    shown = [replay for task in replays for step in task.episodes.replays for replay in step]
    num_inexact = sum(not replay.exact for replay in shown)
    if num_inexact == 0:
        return []
    return [
        f"{num_inexact} of {len(shown)} replays earned other rewards than the recorded episodes: "
        "the environment is not a function of its seed, task and actions, and they show only what "
        "could have happened."
    ]
