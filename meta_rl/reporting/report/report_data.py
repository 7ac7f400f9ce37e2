"""Everything that the report's page shows, as plain values."""

from collections.abc import Sequence
from typing import Any

from meta_rl.evaluation.comparison import Comparison
from meta_rl.reporting.report.adaptation_data import adaptation_data, shown_names, tasks_data
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
        replayed: one of ``records``.
        warnings: what a reader should know before all else.
        created: when, in words.
        version: of this package.
    """
    runs = comparison.groups[0]
    config = records[0].saved.config
    names = comparison.task_parameter_names
    adaptation = adaptation_data(comparison)
    drawn = replays_data(replays, replayed.name) if replays else None
    tasks = tasks_data(runs, names)
    return {
        "title": config.env.id,
        "version": version,
        "created": created,
        "warnings": [
            *warnings,
            *(_unfinished(record) for record in records if not record.is_finished),
            *_inexact(replays),
        ],
        "runs": [run_data(record) for record in records],
        "settings": settings_data([record.saved.config for record in records]),
        "evaluation": {
            "episodes_per_task": config.evaluation.episodes_per_task,
            "held_out": comparison.tasks.held_out,
        },
        "adaptation": adaptation,
        "tasks": {**tasks, "parameter_labels": _parameter_labels(replays, shown_names(names))},
        "learning": [learning_data(record, len(records)) for record in records],
        "replays": drawn,
        "replays_missing": _NOTHING_TO_DRAW,
    }


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
