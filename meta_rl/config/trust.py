"""Which runs may import the Python modules that their settings name.

``env.id=my_module:Reach-v0`` imports ``my_module``, and so runs its code; so does
``algorithm.name=my_module:MyAlgorithm``. A run that this user has started in its place is opened
without a question. A list of these runs is kept in the user's own folder,
``$XDG_STATE_HOME/meta-rl`` (by default ``~/.local/state/meta-rl``), because a stranger may have
written every file of a run directory. For any other run, the user has to say so.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from meta_rl.config.algorithm import ALGORITHM_NAME, is_allowed
from meta_rl.config.problems import ConfigError
from meta_rl.reading import FileError, read_json, read_text
from meta_rl.reading.plain_files import MAX_TABLE_BYTES

ENV_ID = "env.id"
# What a run directory holds besides its settings.
_MARKS = ("run.json", "metrics.jsonl", "checkpoints")
_KINDS = {ENV_ID: "environment", ALGORITHM_NAME: "algorithm"}


class UntrustedRunError(ConfigError):
    """A run whose module is not imported; the message is one sentence."""


def named_modules(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that import a module, by dotted name, and their values.

    Args:
        settings: sections by name, of plain values that may be wrong.
    """
    found = {}
    for name in _KINDS:
        section, key = name.split(".")
        values = settings.get(section)
        value = values.get(key) if isinstance(values, Mapping) else None
        if isinstance(value, str) and value.rpartition(":")[0]:
            found[name] = value
    return found


def run_of_file(file: Path) -> Path | None:
    """The run or sweep that a file of settings is part of; None where it stands for itself."""
    folder = file.absolute().parent
    if any((folder / mark).exists() for mark in _MARKS):
        return folder
    if (folder / "model.safetensors").exists():
        return run_of(folder)
    return folder.parent if (folder.parent / "sweep.json").exists() else None


def run_of(path: Path) -> Path:
    """The run directory of a checkpoint, RUN/checkpoints/iteration_000100, or else the path."""
    is_checkpoint = path.absolute().parent.name == "checkpoints"
    return path.absolute().parents[1] if is_checkpoint else path


def check_modules(path: Path, modules: Mapping[str, str]) -> None:
    """Refuses to import modules that a run names, unless the run is known.

    Args:
        path: the run directory, or a checkpoint in it.
        modules: as ``named_modules``. An algorithm that the user has named in this process may be
            named by any run.

    Raises:
        UntrustedRunError: the run was neither started here nor trusted.
    """
    for name, module in modules.items():
        known = name == ALGORITHM_NAME and is_allowed(module)
        if not known and _entry(path, module) not in _entries():
            raise UntrustedRunError(
                f"{path} was not started here, and its {_KINDS[name]} {module} would import a "
                "Python module and run its code; if you know what that does, add --trust"
            )


def trust_modules(path: Path, modules: Mapping[str, str]) -> None:
    """Remembers that a run may import the modules that it names.

    Where that cannot be written down, the user will be asked again.

    Args:
        path: the run directory, or a checkpoint in it.
        modules: as ``named_modules``.
    """
    with suppress(OSError, RuntimeError):  # no home, or a full or read-only disk
        entries = [_entry(path, module) for module in modules.values()]
        new = [entry for entry in entries if entry not in _entries()]
        if new:
            _file().parent.mkdir(parents=True, exist_ok=True)
            with _file().open("a", encoding="ascii") as file:
                file.write("".join(f"{entry}\n" for entry in new))


def _entry(path: Path, module: str) -> str:
    """Of the place, the module and the run's id: another run in its place is another one."""
    home = run_of(path)
    try:
        run_id = str(read_json(home / "run.json").get("run_id"))
    except FileError:
        run_id = ""
    parts = (str(home.resolve()), module, run_id)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _entries() -> set[str]:
    try:
        return set(read_text(_file(), MAX_TABLE_BYTES).split())
    except (FileError, RuntimeError):
        return set()


def _file() -> Path:
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder, "meta-rl", "trusted_runs.txt")
