"""Which runs may import the Python module that their settings name.

``env.id=my_module:Reach-v0`` imports ``my_module``, and so runs its code. A run that this user has
started in its place is opened without a question. A list of these runs is kept in the user's own
folder, ``$XDG_STATE_HOME/meta-rl`` (by default ``~/.local/state/meta-rl``), because a stranger may
have written every file of a run directory. For any other run, the user has to say so.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from meta_rl.config import AnyConfig, Config
from meta_rl.reading import FileError, SentenceError, read_json, read_text
from meta_rl.reading.plain_files import MAX_TABLE_BYTES

# What a run directory holds besides its settings.
_MARKS = ("run.json", "metrics.jsonl", "checkpoints")


class UntrustedRunError(SentenceError):
    """A run whose module is not imported; the message is one sentence."""


def id_with_module(config: AnyConfig) -> str | None:
    """``env.id`` where making the environment imports a module that it names, else None."""
    if not isinstance(config, Config) or not config.env.id.rpartition(":")[0]:
        return None
    return config.env.id


def run_of_file(file: Path) -> Path | None:
    """The run or sweep that a file of settings is part of; None where it stands for itself."""
    folder = file.absolute().parent
    if any((folder / mark).exists() for mark in _MARKS):
        return folder
    if (folder / "model.safetensors").exists():
        return _home(folder)
    return folder.parent if (folder.parent / "sweep.json").exists() else None


def check_trusted(path: Path, config: AnyConfig) -> None:
    """Refuses to import a module that a run names, unless the run is known.

    Args:
        path: the run directory, or a checkpoint in it.
        config: the run's settings.

    Raises:
        UntrustedRunError: they name a module, and the run was neither started here nor trusted.
    """
    env_id = id_with_module(config)
    if env_id is not None and _entry(path, env_id) not in _entries():
        raise UntrustedRunError(
            f"{path} was not started here, and its environment {env_id} would import a Python "
            "module and run its code; if you know what that does, add --trust"
        )


def trust_run(path: Path, config: AnyConfig) -> None:
    """Remembers that the module which a run names may be imported.

    Where that cannot be written down, the user will be asked again.

    Args:
        path: the run directory, or a checkpoint in it.
        config: the run's settings.
    """
    env_id = id_with_module(config)
    if env_id is None:
        return
    entry = _entry(path, env_id)
    with suppress(OSError, RuntimeError):  # no home, or a full or read-only disk
        if entry not in _entries():
            _file().parent.mkdir(parents=True, exist_ok=True)
            with _file().open("a", encoding="ascii") as file:
                file.write(f"{entry}\n")


def _entry(path: Path, env_id: str) -> str:
    """Of the place, the environment and the run's id: another run in its place is another one."""
    home = _home(path)
    try:
        run_id = str(read_json(home / "run.json").get("run_id"))
    except FileError:
        run_id = ""
    parts = (str(home.resolve()), env_id, run_id)
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _entries() -> set[str]:
    try:
        return set(read_text(_file(), MAX_TABLE_BYTES).split())
    except (FileError, RuntimeError):
        return set()


def _home(path: Path) -> Path:
    """The run directory of a checkpoint, RUN/checkpoints/iteration_000100, or else the path."""
    is_checkpoint = path.absolute().parent.name == "checkpoints"
    return path.absolute().parents[1] if is_checkpoint else path


def _file() -> Path:
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder, "meta-rl", "trusted_runs.txt")
