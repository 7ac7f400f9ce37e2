"""The folder of a sweep, which stands for its runs where a run directory is asked for.

sweep.json          the runs, by name, and the settings in which they differ
settings/NAME.yaml  all settings of a run
runs/NAME/          its run directory
logs/NAME.log       what its process wrote to the screen
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_rl.config import AnyConfig, ConfigError, config_to_yaml, load_config
from meta_rl.launch.plan import SweepPlan
from meta_rl.reading import SentenceError, file_errors_as, parse_json, read_bytes
from meta_rl.runs.atomic_files import sync_folder, write_text_atomically
from meta_rl.runs.run_directory import SWEEP_INDEX, is_sweep

# As ``run_names`` makes them.
_NAME = re.compile(r"[A-Za-z0-9._+-]{1,150}")


class SweepError(SentenceError):
    """A sweep that cannot be made, read or gone on with; the message is one sentence."""


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        sweep_path: the sweep's folder.
        name: of its files in there.
        varied: the settings that differ between the runs, and their values here.
    """

    sweep_path: Path
    name: str
    varied: Mapping[str, str]

    @property
    def path(self) -> Path:
        """The run directory, which exists from when the run begins."""
        return self.sweep_path / "runs" / self.name

    @property
    def settings_file(self) -> Path:
        """All settings."""
        return self.sweep_path / "settings" / f"{self.name}.yaml"

    @property
    def log_file(self) -> Path:
        """What its processes wrote to the screen, one after the other."""
        return self.sweep_path / "logs" / f"{self.name}.log"


def create_sweep(path: Path, plan: SweepPlan) -> list[SweepRun]:
    """Makes the folder of a sweep, or finds that of the same sweep, which may have grown by runs.

    Raises:
        SweepError: there is something else in this place, or it cannot be written.
    """
    runs = [SweepRun(path, run.name, run.varied) for run in plan.runs]
    try:
        if (path / SWEEP_INDEX).exists():
            _check_same_settings(path, plan)
            if len(runs) > len(read_sweep(path)):
                _write(path, plan)
        elif path.exists() and any(path.iterdir()):
            raise SweepError(
                f"{path} exists and is not a sweep: it holds no {SWEEP_INDEX}; choose another --dir"
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            _write(temporary, plan)
            temporary.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise SweepError(f"{path} cannot be written: {error.strerror or error}") from None
    return runs


def read_sweep(path: Path) -> list[SweepRun]:
    """The runs of a sweep, begun or not.

    Raises:
        SweepError: it is not a sweep, or its index is damaged.
    """
    index = path / SWEEP_INDEX
    with file_errors_as(SweepError):
        content = read_bytes(index)
    try:
        record = parse_json(content.decode("utf-8-sig"))
        runs = [
            SweepRun(path, _name(name), {str(key): str(value) for key, value in varied.items()})
            for name, varied in record["runs"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SweepError(f"{index} is damaged: it does not list the runs of a sweep") from None
    return runs


def run_directories(path: Path) -> list[Path]:
    """The run directories that a path stands for: those of a sweep, or itself.

    Runs of a sweep that have no checkpoint yet are left out.

    Raises:
        SweepError: the sweep's index is damaged, or none of its runs has begun.
    """
    if not is_sweep(path):
        return [path]
    begun = [run.path for run in read_sweep(path) if has_checkpoint(run.path)]
    if not begun:
        raise SweepError(f"none of the runs of the sweep {path} has a checkpoint yet")
    return begun


def has_checkpoint(run_directory: Path) -> bool:
    """Whether a run has begun."""
    return any((run_directory / "checkpoints").glob("iteration_*"))


def _write(path: Path, plan: SweepPlan) -> None:
    """The index comes last: with it, all is there."""
    for folder in ("settings", "runs", "logs"):
        (path / folder).mkdir(exist_ok=True)
    for run in plan.runs:
        settings = path / "settings" / f"{run.name}.yaml"
        if not settings.exists():
            write_text_atomically(settings, config_to_yaml(run.config))
    index: dict[str, Any] = {
        "config": plan.config,
        "arguments": list(plan.arguments),
        "runs": {run.name: dict(run.varied) for run in plan.runs},
    }
    write_text_atomically(path / SWEEP_INDEX, json.dumps(index, indent=2) + "\n")


def _check_same_settings(path: Path, plan: SweepPlan) -> None:
    planned = {run.name: run for run in plan.runs}
    for run in read_sweep(path):
        if run.name not in planned:
            raise SweepError(
                f"{path} is another sweep, with a run {run.name}, and is not changed; "
                "choose another --dir"
            )
        if _read_settings(run) != planned[run.name].config:
            raise SweepError(
                f"{path} is a sweep with other settings than these, see {run.settings_file}, "
                "and is not changed; choose another --dir"
            )


def _read_settings(run: SweepRun) -> AnyConfig:
    try:
        return load_config(str(run.settings_file))
    except ConfigError as error:
        raise SweepError(str(error.args[0])) from None


def _name(name: str) -> str:
    if not _NAME.fullmatch(name) or not name.strip("."):
        raise ValueError("a name that would lead out of the sweep's folder")
    return name
