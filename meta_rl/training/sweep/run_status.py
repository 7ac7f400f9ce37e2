"""How far a run is, read from the files that it writes."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Many lines, however many numbers a line holds.
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class RunStatus:
    """What the last lines of ``metrics.jsonl`` say.

    Attributes:
        meta_iteration: number of completed meta-iterations.
        last_value: mean return of training episodes after adapting, or training loss.
        quantity: which of them, ``"return"`` or ``"loss"``.
        seconds_per_iteration: over the last meta-iterations, where there are several.
    """

    meta_iteration: int = 0
    last_value: float | None = None
    quantity: str = "return"
    seconds_per_iteration: float | None = None


def read_status(run_directory: Path) -> RunStatus:
    """The status of a run, however far it is; a line that is being written is passed over."""
    records = _last_records(run_directory / "metrics.jsonl")
    if not records:
        return RunStatus()
    first, last = records[0], records[-1]
    num_iterations = last["meta_iteration"] - first["meta_iteration"]
    seconds = last.get("seconds_total", 0.0) - first.get("seconds_total", 0.0)
    returns = last.get("train_return")
    return RunStatus(
        meta_iteration=last["meta_iteration"],
        last_value=returns[-1] if returns else last.get("train_loss"),
        quantity="loss" if "train_loss" in last else "return",
        seconds_per_iteration=seconds / num_iterations if num_iterations > 0 else None,
    )


def _last_records(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    # The first may have been cut off, and the last is empty or is being written.
    lines = lines[1 if size > _TAIL_BYTES else 0 : -1]
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("meta_iteration"), int):
            records.append(record)
    return records
