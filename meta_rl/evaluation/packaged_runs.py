"""Runs that come with the package, so that commands have something to show without a training.

``meta_rl/pretrained/NAME`` is a run directory that is reduced to the checkpoint which the run kept;
``scripts/package_checkpoint.py`` makes it. A user names it ``pretrained/NAME``.
"""

from pathlib import Path

import meta_rl
from meta_rl.runs.best_checkpoint import CheckpointError

PACKAGED_RUNS = Path(meta_rl.__file__).parent / "pretrained"


def packaged_names() -> list[str]:
    """The names of all of them."""
    return sorted(path.parent.name for path in PACKAGED_RUNS.glob("*/best.json"))


def find_run(path: Path) -> Path:
    """What a path that a user gave stands for: a place of theirs, or else a run of the package.

    Raises:
        CheckpointError: it is neither, but has the form of the latter; the names are listed.
    """
    if path.exists() or path.parts[:1] != (PACKAGED_RUNS.name,) or len(path.parts) > 2:
        return path
    if path.name in packaged_names():
        return PACKAGED_RUNS / path.name
    names = ", ".join(f"{PACKAGED_RUNS.name}/{name}" for name in packaged_names())
    raise CheckpointError(f"there is no {path}; with the package come {names}")


def is_packaged(path: Path) -> bool:
    """Whether a run or checkpoint lies in the package, where commands write nothing."""
    return path.resolve().is_relative_to(PACKAGED_RUNS.resolve())
