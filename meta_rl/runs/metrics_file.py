"""``metrics.jsonl``: the numbers of each meta-iteration, the record of a run."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meta_rl.reading import parse_json
from meta_rl.runs.line_file import LineFile


class MetricsFile:
    """Writes ``metrics.jsonl``: one line of JSON per record, on the disk's side at once.

    Args:
        path: the file; an existing one is continued.
        resume_from: meta-iterations that the checkpoint to go on from had completed, 0 for a new
            run. Lines past it will be written again, so they are dropped.
    """

    def __init__(self, path: Path, resume_from: int = 0) -> None:
        self._file = LineFile(path, lambda line: _is_line_until(line, resume_from))

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a record; nan and infinity, which JSON does not know, become null."""
        line = json.dumps({name: _plain(value) for name, value in record.items()}, allow_nan=False)
        self._file.append(line + "\n")

    def sync(self) -> None:
        """Returns when the records are on the disk."""
        self._file.sync()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _plain(value: Any) -> Any:
    """Turns a scalar of NumPy or torch into a Python one, and what is not finite into None."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_line_until(line: str, meta_iteration: int) -> bool:
    try:
        return bool(0 <= parse_json(line)["meta_iteration"] <= meta_iteration)
    except (ValueError, KeyError, TypeError):
        return False
