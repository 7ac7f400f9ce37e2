"""Learning curves as plain values, from the metrics of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta_rl.reporting.report.packing import rounded
from meta_rl.reporting.report.run_record import RunRecord
from meta_rl.reporting.report.thinning import thinned

_DIGITS = 4
# Of all runs together, of each table; more than a picture has columns.
_MAX_POINTS, _MIN_POINTS = 1_000, 200
_DIAGNOSTICS = ("policy_std", "kl")


def learning_data(record: RunRecord, num_runs: int = 1) -> dict[str, Any]:
    """Returns on training and validation tasks against meta-iterations and environment steps.

    ``training`` and ``validation`` hold ``meta_iteration`` and ``env_steps`` [I], and ``mean`` and
    ``interval`` (half-width of the 95 % interval over tasks) [K + 1, I], one row per adaptation
    step. ``num_recorded`` is how many points each had before long curves were thinned.

    Args:
        record: the run.
        num_runs: how many runs share the page.
    """
    metrics = record.metrics
    max_points = max(_MIN_POINTS, _MAX_POINTS // num_runs)
    trained = [entry for entry in metrics if entry.get("train_return")]
    validated = [entry for entry in metrics if entry.get("validation_return")]
    diagnostics = {name: _column(trained, name) for name in _DIAGNOSTICS}
    training = _Returns(trained, "train_return")
    validation = _Returns(validated, "validation_return")
    kept = thinned([*training.extremes, *diagnostics.values()], max_points)
    return {
        "run": record.name,
        "num_recorded": {"training": len(trained), "validation": len(validated)},
        "training": training.plain(kept),
        "validation": validation.plain(thinned(validation.extremes, max_points)),
        "diagnostics": {name: rounded(values[kept], 6) for name, values in diagnostics.items()},
    }


class _Returns:
    """Return per adaptation step of some records, nan where there is none."""

    def __init__(self, records: Sequence[dict[str, Any]], name: str) -> None:
        # A resumed run may have other numbers of steps before and after.
        num_stages = max((len(record[name]) for record in records), default=0)
        self._records = records
        self._mean = _table(records, name, num_stages)
        self._interval = _table(records, f"{name}_interval", num_stages)

    @property
    def extremes(self) -> list[np.ndarray]:
        """The curves whose least and greatest values are to be seen."""
        return list(self._mean)

    def plain(self, kept: np.ndarray) -> dict[str, Any]:
        """The points that are kept, as plain values."""
        records = [self._records[index] for index in kept]
        return {
            "meta_iteration": [record["meta_iteration"] for record in records],
            "env_steps": [record["env_steps"] for record in records],
            "mean": [rounded(values[kept], _DIGITS) for values in self._mean],
            "interval": [rounded(values[kept], _DIGITS) for values in self._interval],
        }


def _table(records: Sequence[dict[str, Any]], name: str, num_stages: int) -> np.ndarray:
    """[num_stages, I] from a list in each record."""
    table = np.full((num_stages, len(records)), np.nan)
    for index, record in enumerate(records):
        for stage, value in enumerate((record.get(name) or [])[:num_stages]):
            table[stage, index] = _number(value)
    return table


def _column(records: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([_number(record.get(name)) for record in records], dtype=np.float64)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
