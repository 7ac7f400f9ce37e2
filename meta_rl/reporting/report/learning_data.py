"""Learning curves as plain values, from the metrics of a run."""

from collections.abc import Sequence
from typing import Any

from meta_rl.reporting.report.run_record import RunRecord

_DIGITS = 4


def learning_data(record: RunRecord) -> dict[str, Any]:
    """Returns on training and validation tasks against meta-iterations and environment steps.

    ``training`` and ``validation`` hold ``meta_iteration`` and ``env_steps`` [I], and ``mean`` and
    ``interval`` (half-width of the 95 % interval over tasks) [K + 1, I], one row per adaptation
    step.
    """
    metrics = record.metrics
    return {
        "run": record.name,
        "training": _returns(metrics, "train_return"),
        "validation": _returns(metrics, "validation_return"),
        "diagnostics": {
            name: [_rounded(entry.get(name), 6) for entry in metrics if "train_return" in entry]
            for name in ("policy_std", "kl")
        },
    }


def _returns(metrics: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    records = [record for record in metrics if record.get(name)]
    # A resumed run may have other numbers of steps before and after.
    num_stages = max((len(record[name]) for record in records), default=0)
    stages = range(num_stages)
    return {
        "meta_iteration": [record["meta_iteration"] for record in records],
        "env_steps": [record["env_steps"] for record in records],
        "mean": [[_entry(record, name, stage) for record in records] for stage in stages],
        "interval": [
            [_entry(record, f"{name}_interval", stage) for record in records] for stage in stages
        ],
    }


def _entry(record: dict[str, Any], name: str, stage: int) -> float | None:
    values = record.get(name, [])
    return _rounded(values[stage], _DIGITS) if stage < len(values) else None


def _rounded(value: Any, digits: int) -> float | None:
    return round(value, digits) if isinstance(value, int | float) else None
