"""Learning curves as plain values, from the metrics of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta_rl.reporting.report.packing import rounded
from meta_rl.reporting.report.run_record import RunRecord
from meta_rl.reporting.report.thinning import thinned
from meta_rl.reporting.shown_steps import shown_steps

_DIGITS = 4
# Of all runs together, of each table; more than a picture has columns.
_MAX_POINTS, _MIN_POINTS = 1_000, 200
_DIAGNOSTICS = ("policy_std", "kl", "update_norm")


def learning_data(record: RunRecord, num_runs: int = 1) -> dict[str, Any]:
    """Values on training and validation tasks against meta-iterations and environment steps.

    ``training`` and ``validation`` hold ``meta_iteration`` and ``env_steps`` [I], and ``mean`` and
    ``interval`` (half-width of the 95 % interval over tasks) [S, I], one row per adaptation step in
    ``steps`` [S], which is null where training has one loss of all. ``quantity`` is what they are.
    ``num_recorded`` is how many points each had before long curves were thinned.

    Args:
        record: the run.
        num_runs: how many runs share the page.
    """
    metrics = record.metrics
    max_points = max(_MIN_POINTS, _MAX_POINTS // num_runs)
    training = _Values(metrics, "train", record.quantities[0])
    validation = _Values(metrics, "validation", record.quantities[-1])
    diagnostics = {name: _column(training.records, name) for name in _DIAGNOSTICS}
    kept = thinned([*training.mean, *diagnostics.values()], max_points)
    return {
        "run": record.name,
        "num_recorded": {"training": len(training.records), "validation": len(validation.records)},
        "training": training.plain(kept),
        "validation": validation.plain(thinned(list(validation.mean), max_points)),
        "diagnostics": {name: rounded(values[kept], 6) for name, values in diagnostics.items()},
    }


class _Values:
    """A quantity per adaptation step in the records that have it, nan where there is none."""

    def __init__(self, metrics: Sequence[dict[str, Any]], split: str, quantity: str) -> None:
        name = f"{split}_{quantity}"
        self.records = [entry for entry in metrics if entry.get(name) not in (None, [])]
        self.quantity = quantity
        # A resumed run may have other numbers of steps before and after.
        num_stages = max((len(_listed(record[name])) for record in self.records), default=0)
        is_curve = all(isinstance(record[name], list) for record in self.records)
        self.steps = shown_steps(num_stages) if is_curve else None
        shown = slice(None) if self.steps is None else self.steps
        self.mean = _table(self.records, name, num_stages)[shown]
        self.interval = _table(self.records, f"{name}_interval", num_stages)[shown]

    def plain(self, kept: np.ndarray) -> dict[str, Any]:
        """The points that are kept, as plain values."""
        records = [self.records[index] for index in kept]
        return {
            "quantity": self.quantity,
            "steps": self.steps,
            "meta_iteration": [record["meta_iteration"] for record in records],
            "env_steps": [record.get("env_steps") for record in records],
            "mean": [rounded(values[kept], _DIGITS) for values in self.mean],
            "interval": [rounded(values[kept], _DIGITS) for values in self.interval],
        }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _table(records: Sequence[dict[str, Any]], name: str, num_stages: int) -> np.ndarray:
    """[num_stages, I] from a list in each record."""
    table = np.full((num_stages, len(records)), np.nan)
    for index, record in enumerate(records):
        for stage, value in enumerate(_listed(record.get(name))[:num_stages]):
            table[stage, index] = _number(value)
    return table


def _column(records: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([_number(record.get(name)) for record in records], dtype=np.float64)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
