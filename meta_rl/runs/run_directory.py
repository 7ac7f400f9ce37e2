"""The run directory: made once, never overwritten, written by one process at a time."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Self

from meta_rl.config import AnyConfig, config_to_yaml
from meta_rl.reading import FileError, SentenceError, read_json
from meta_rl.runs.atomic_files import sync_folder, write_text_atomically
from meta_rl.runs.folder_lock import FolderLockError, lock_folder
from meta_rl.runs.provenance import describe_process
from meta_rl.runs.trusted_runs import trust_run

SWEEP_INDEX = "sweep.json"
"""The file that makes a folder a sweep, see ``launch``."""


class RunDirectoryError(SentenceError):
    """A run directory that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class RunDirectory:
    """A run directory that this process alone may write, until it is closed.

    Attributes:
        path: the folder.
    """

    path: Path
    _lock: IO[bytes]

    @property
    def config_file(self) -> Path:
        """The settings, resolved; training on this file repeats the run."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """One line of JSON per meta-iteration."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation_file(self) -> Path:
        """One row per evaluation episode."""
        return self.path / "evaluation.csv"

    def record_resume(
        self,
        config: AnyConfig,
        meta_iteration: int = 0,
        changed: Mapping[str, tuple[Any, Any]] = MappingProxyType({}),
    ) -> None:
        """Records that this process continues the run, perhaps with other settings.

        Args:
            config: the settings from now on.
            meta_iteration: number of meta-iterations that are complete.
            changed: settings that differ from those before, by name, with both values.
        """

        def resume(facts: dict[str, Any]) -> None:
            facts.pop("finish_time", None)
            before = facts.get("resumed", [])
            if not isinstance(before, list):
                raise FileError(f"{self._facts_file} should list in 'resumed' how the run went on")
            resumed: dict[str, Any] = {**describe_process(), "meta_iteration": meta_iteration}
            if changed:
                resumed["changed_settings"] = {name: list(pair) for name, pair in changed.items()}
            facts["resumed"] = [*before, resumed]

        # First, since a run that asks for more than it has done must not pass for a finished one.
        self._update_facts(resume)
        try:
            _write_config(self.config_file, config)
        except OSError as error:
            raise RunDirectoryError(
                f"{self.config_file} cannot be updated: {error.strerror}"
            ) from None

    def record_finish(self) -> None:
        """Records that the run has done all that its settings ask for."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._update_facts(lambda facts: facts.update(finish_time=now))

    def _update_facts(self, update: Callable[[dict[str, Any]], None]) -> None:
        try:
            facts = read_json(self._facts_file)
            update(facts)
            write_text_atomically(self._facts_file, json.dumps(facts, indent=2) + "\n")
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"{self._facts_file} cannot be updated: {error}") from None

    def check_is_ours(self) -> None:
        """Makes sure that the folder at ``path`` is still the one that this process has locked.

        Raises:
            RunDirectoryError: it was deleted, moved or replaced.
        """
        try:
            is_ours = os.path.samestat(os.fstat(self._lock.fileno()), (self.path / ".lock").stat())
        except OSError:
            is_ours = False
        if not is_ours:
            raise RunDirectoryError(
                f"{self.path} was deleted, moved or replaced while this process was writing it"
            )

    def close(self) -> None:
        """Lets other processes write the run directory."""
        self._lock.close()

    @property
    def _facts_file(self) -> Path:
        return self.path / "run.json"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def create_run_directory(config: AnyConfig, name: str) -> RunDirectory:
    """Makes the directory of a new run, with ``config.yaml`` and ``run.json`` in it.

    Args:
        config: the settings; ``run.dir`` names the directory.
        name: what the run is called where ``run.dir`` is null.

    Raises:
        RunDirectoryError: if the directory exists, or cannot be written.
    """
    facts = {
        "name": name,
        "seed": config.run.seed,
        "run_id": secrets.token_hex(8),
        **describe_process(),
    }
    # Elsewhere first: a run directory that is there is whole, whenever the process ends.
    if config.run.dir:
        path = Path(config.run.dir)
        _refuse_existing(path)
        partial = _make_folder(path)
    else:
        path, partial = _make_unnamed_folder(name, config.run.seed)
    try:
        lock = _lock(partial)
    except RunDirectoryError:
        with suppress(OSError):  # not empty: it is another process's
            partial.rmdir()
        raise
    try:
        _write_config(partial / "config.yaml", config)
        write_text_atomically(partial / "run.json", json.dumps(facts, indent=2) + "\n")
        _refuse_existing(path)
        partial.rename(path)
        sync_folder(path.parent)
        trust_run(path, config)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        lock.close()
        if isinstance(error, OSError):
            raise RunDirectoryError(f"{path} cannot be written: {error.strerror}") from None
        raise
    return RunDirectory(path, lock)


def open_run_directory(path: Path) -> RunDirectory:
    """Opens the directory of an earlier run, to continue it.

    Raises:
        RunDirectoryError: if it is not one, cannot be written, or another process writes it.
    """
    if not (path / "config.yaml").is_file():
        raise RunDirectoryError(f"{path} is not a run directory: it holds no config.yaml")
    run_directory = RunDirectory(path, _lock(path))
    for leftover in path.glob(".*.tmp"):  # of a process that was killed while it wrote
        leftover.unlink(missing_ok=True)
    return run_directory


def is_sweep(path: Path) -> bool:
    """Whether a folder is a sweep and so stands for several runs."""
    return (path / SWEEP_INDEX).is_file()


def is_finished(path: Path) -> bool:
    """Whether the run in this folder has done all that its settings ask for."""
    try:
        return "finish_time" in read_json(path / "run.json")
    except FileError:
        return False


def run_to_restart(config: AnyConfig) -> Path | None:
    """The directory in which an earlier start of the same command has left its run, if any.

    Raises:
        RunDirectoryError: ``run.dir`` is null, so that it cannot be known.
    """
    if config.run.dir is None:
        raise RunDirectoryError(
            "a restart cannot know which run to resume; give run.dir where there may be restarts"
        )
    path = Path(config.run.dir)
    return path if (path / "config.yaml").is_file() else None


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise RunDirectoryError(
            f"{path} exists and is not overwritten; choose another run.dir, or --resume it"
        )


def _make_folder(path: Path) -> Path:
    """Makes the folder in which ``path`` is prepared, or takes the one that a crash has left."""
    try:
        partial = _partial(path)
        partial.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _cannot_be_made(path, error) from None
    return partial


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _cannot_be_made(path: Path, error: OSError | ValueError) -> RunDirectoryError:
    reason = getattr(error, "strerror", None) or error
    return RunDirectoryError(f"{path} cannot be made: {reason}")


def _make_unnamed_folder(name: str, seed: int) -> tuple[Path, Path]:
    """The first free name of this second, and the folder in which that run is prepared.

    Several processes may look for one at the same time. Making the folder decides which of them has
    the name: until it is renamed nobody else can make it, and then the name is taken.
    """
    stem = f"{name}-seed{seed}-{datetime.now():%Y%m%d-%H%M%S}"
    for number in count(1):
        path = Path("runs", stem if number == 1 else f"{stem}-{number}")
        try:
            partial = _partial(path)
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            raise _cannot_be_made(path, error) from None
        if not os.path.lexists(path):
            return path, partial
        partial.rmdir()
    raise AssertionError("numbers do not end")


def _lock(path: Path) -> IO[bytes]:
    try:
        return lock_folder(path)
    except FolderLockError as error:
        raise RunDirectoryError(str(error)) from None


def _write_config(path: Path, config: AnyConfig) -> None:
    # Without run.dir, so that training on the file makes a new run instead of meeting this one.
    run = config.run.model_copy(update={"dir": None})
    write_text_atomically(path, config_to_yaml(config.model_copy(update={"run": run})))
