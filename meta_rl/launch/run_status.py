"""How far a run is, read from the files that it writes."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_rl.reading import FileError, open_file, parse_json
from meta_rl.reading.plain_files import MAX_TABLE_BYTES

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
    seconds = [_number(record.get("seconds_total")) for record in (first, last)]
    returns = last.get("train_return")
    return RunStatus(
        meta_iteration=last["meta_iteration"],
        last_value=_number(returns[-1] if returns else last.get("train_loss")),
        quantity="loss" if "train_loss" in last else "return",
        seconds_per_iteration=None
        if num_iterations <= 0
        else ((seconds[1] or 0.0) - (seconds[0] or 0.0)) / num_iterations,
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _last_records(path: Path) -> list[dict[str, Any]]:
    try:
        with open_file(path, MAX_TABLE_BYTES) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().split(b"\n")
    except (OSError, FileError):
        return []
    # The first may have been cut off, and the last is empty or is being written.
    lines = lines[1 if size > _TAIL_BYTES else 0 : -1]
    records = (_record(line) for line in lines)
    return [record for record in records if record is not None]


def _record(line: bytes) -> dict[str, Any] | None:
    """What a line says, or None for a damaged one."""
    try:
        record = parse_json(line.decode())
    except ValueError:
        return None
    is_whole = (
        isinstance(record, dict)
        and isinstance(record.get("meta_iteration"), int)
        and isinstance(record.get("train_return") or [], list)
    )
    return record if is_whole else None
