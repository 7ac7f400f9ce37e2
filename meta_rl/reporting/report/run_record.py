"""What a run directory says of itself beside its policy: its facts and its metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_rl.config import Config
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.problems.supervised import described_tasks
from meta_rl.reading import FileError, parse_json, read_bytes, read_json

_MAX_METRICS_BYTES = 1 << 28
_FACTS = {
    "hardware": dict | None,
    "versions": dict | None,
    "resumed": list | None,
    "start_time": str | None,
}
_CURVES = tuple(
    f"{split}_{quantity}{suffix}"
    for split in ("train", "validation")
    for quantity in ("return", "loss", "accuracy")
    for suffix in ("", "_interval")
)
_NUMBERS = ("seconds_total", "kl", "policy_std", "update_norm")


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
    saved: SavedModel
    facts: dict[str, Any]
    metrics: list[dict[str, Any]]
    warnings: tuple[str, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the metrics are about; the last one is what papers state."""
        config = self.saved.config
        return ("return",) if isinstance(config, Config) else described_tasks(config).value_names

    @property
    def title(self) -> str:
        """What the tasks are, in a word."""
        config = self.saved.config
        return config.env.id if isinstance(config, Config) else described_tasks(config).title

    @property
    def completed_iterations(self) -> int:
        """Meta-iterations that the run is known to have completed."""
        last = self.metrics[-1]["meta_iteration"] if self.metrics else 0
        return max(int(last), self.saved.meta_iteration)

    @property
    def is_finished(self) -> bool:
        """Whether the run has made all meta-iterations that its settings ask for."""
        return self.completed_iterations >= self.saved.config.run.meta_iterations


def read_run(saved: SavedModel) -> RunRecord:
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
        facts = read_json(path)
        for name, kind in _FACTS.items():
            if not isinstance(facts.get(name), kind):
                raise FileError(f"{path} says something else of {name}")
    except FileError:
        warnings.append(f"{path} cannot be read, so versions and machine are not known.")
        return {}
    return facts


def _read_metrics(path: Path, warnings: list[str]) -> list[dict[str, Any]]:
    try:
        content = read_bytes(path, _MAX_METRICS_BYTES)
    except FileError:
        warnings.append(f"{path} cannot be read, so there are no learning curves.")
        return []
    records, num_bad = [], 0
    for line in content.decode(errors="replace").splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if _is_record(record):
            records.append(record)
        else:
            num_bad += 1
    if num_bad:
        noun = "line is" if num_bad == 1 else "lines are"
        warnings.append(f"{num_bad} {noun} damaged in {path} and left out.")
    return records


def _is_record(record: Any) -> bool:
    """Whether all that is shown of a record is of its kind; what is not finite is written null."""

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def is_curve(value: Any) -> bool:
        entries = value if isinstance(value, list) else [value]
        return all(x is None or is_number(x) for x in entries)

    if not isinstance(record, dict):
        return False
    curves = (record[name] for name in _CURVES if record.get(name) is not None)
    return (
        isinstance(record.get("meta_iteration"), int)
        # Supervised tasks have none.
        and isinstance(record.get("env_steps", 0), int)
        and all(record.get(name) is None or is_number(record[name]) for name in _NUMBERS)
        and isinstance(record.get("accepted", False), bool)
        and all(map(is_curve, curves))
    )
