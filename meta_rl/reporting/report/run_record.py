"""What a run directory says of itself beside its policy: its facts and its metrics."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_rl.training.saved_policies.saved_policy import SavedPolicy


@dataclass(frozen=True)
class RunRecord:
    """A run as its directory describes it.

    Attributes:
        name: the name of the directory.
        saved: the policy that is reported.
        facts: ``run.json``; empty where there is none that can be read.
        metrics: the records of ``metrics.jsonl``, one per meta-iteration, in order.
        warnings: a sentence for whatever could not be read.
    """

    name: str
    saved: SavedPolicy
    facts: dict[str, Any]
    metrics: list[dict[str, Any]]
    warnings: tuple[str, ...]

    @property
    def completed_iterations(self) -> int:
        """Meta-iterations that the run is known to have completed."""
        last = self.metrics[-1]["meta_iteration"] if self.metrics else 0
        return max(int(last), self.saved.meta_iteration)

    @property
    def is_finished(self) -> bool:
        """Whether the run has made all meta-iterations that its settings ask for."""
        return self.completed_iterations >= self.saved.config.run.meta_iterations


def read_run(saved: SavedPolicy) -> RunRecord:
    """Reads what lies beside a policy; what is missing or damaged becomes a warning.

    Args:
        saved: loaded from a run directory, or from one of the checkpoints in it.
    """
    run_dir = run_dir_of(saved.path)
    warnings = list(saved.warnings)
    facts = _read_facts(run_dir / "run.json", warnings)
    metrics = _read_metrics(run_dir / "metrics.jsonl", warnings)
    return RunRecord(run_dir.resolve().name, saved, facts, metrics, tuple(warnings))


def run_dir_of(path: Path) -> Path:
    """The run directory of a run, or of one of its checkpoints."""
    # A checkpoint's folder is RUN/checkpoints/iteration_000100.
    return path if (path / "checkpoints").is_dir() else path.absolute().parents[1]


def _read_facts(path: Path, warnings: list[str]) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    if isinstance(facts, dict):
        return facts
    warnings.append(f"{path} cannot be read, so versions and machine are not known.")
    return {}


def _read_metrics(path: Path, warnings: list[str]) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        warnings.append(f"{path} cannot be read, so there are no learning curves.")
        return []
    records, num_bad = [], 0
    for line in lines:
        try:
            record = json.loads(line)
            # What every record has; the rest may be absent.
            int(record["meta_iteration"]), int(record["env_steps"])
        except (ValueError, KeyError, TypeError):
            num_bad += 1
        else:
            records.append(record)
    if num_bad:
        noun = "line is" if num_bad == 1 else "lines are"
        warnings.append(f"{num_bad} {noun} damaged in {path} and left out.")
    return records
