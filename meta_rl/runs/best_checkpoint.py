"""Which checkpoint of a run did best on validation tasks: ``best.json``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from meta_rl.reading import FileError, SentenceError, read_json
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.plain_numbers import finite_number, whole_number


class CheckpointError(SentenceError):
    """A checkpoint that cannot be written or read; the message is one sentence."""


@dataclass(frozen=True)
class BestCheckpoint:
    """Which checkpoint did best on validation tasks, and its score."""

    meta_iteration: int
    score: float

    @classmethod
    def from_values(cls, values: Any) -> Self:
        """From what a file holds.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(values, dict):
            raise ValueError("not a mapping")
        number = whole_number(values.get("meta_iteration"))
        return cls(number, finite_number(values.get("score")))


def checkpoint_path(run_dir: Path, meta_iteration: int) -> Path:
    """Returns where the checkpoint of a meta-iteration is, or would be."""
    return run_dir / "checkpoints" / f"iteration_{meta_iteration:06d}"


def repair_best(run_dir: Path, best: BestCheckpoint | None) -> None:
    """Records which checkpoint is the best one, where a crash came between it and its record.

    Args:
        run_dir: the run directory.
        best: the best one according to the checkpoint that the run goes on from.

    Raises:
        CheckpointError: the record cannot be written.
    """
    if best is None or not checkpoint_path(run_dir, best.meta_iteration).is_dir():
        return
    try:
        write_best(run_dir, best)
    except OSError as error:
        path = run_dir / "best.json"
        raise CheckpointError(f"{path} cannot be written: {error.strerror}") from None


def write_best(run_dir: Path, best: BestCheckpoint) -> None:
    """Names the best checkpoint.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps({"meta_iteration": best.meta_iteration, "score": best.score})
    write_text_atomically(run_dir / "best.json", text + "\n")


def read_best(run_dir: Path) -> BestCheckpoint | None:
    """Returns the best checkpoint so far, or None before the first."""
    path = run_dir / "best.json"
    if not path.exists():
        return None
    try:
        return BestCheckpoint.from_values(read_json(path))
    except ValueError as error:
        reason = str(error).replace(f"{path} ", ": it ", 1) if isinstance(error, FileError) else ""
        raise CheckpointError(f"{path} does not name a checkpoint and a score{reason}") from None
