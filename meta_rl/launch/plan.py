"""The runs of a sweep, each with a name and with settings that have been checked."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meta_rl.config import AnyConfig, ConfigError, config_to_yaml, load_config
from meta_rl.config.grid import expand_grid

_MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class PlannedRun:
    """One run that is to be made.

    Attributes:
        name: safe as the name of a folder, and different from all others.
        varied: the settings that differ between the runs, and their values here.
        config: all settings.
    """

    name: str
    varied: Mapping[str, str]
    config: AnyConfig


@dataclass(frozen=True)
class SweepPlan:
    """All runs that are to be made.

    Attributes:
        config: name of the preset or path of the file that all runs start from.
        arguments: the grid, as it was written.
        runs: in the order of the grid.
    """

    config: str
    arguments: tuple[str, ...]
    runs: tuple[PlannedRun, ...]

    @property
    def default_path(self) -> Path:
        """Folder of the sweep: the same for the same settings, different for others."""
        settings = "".join(config_to_yaml(run.config) for run in self.runs)
        return Path("sweeps", f"{Path(self.config).stem}-{_digest(settings)}")

    @property
    def sets_num_threads(self) -> bool:
        """Whether the settings say how many physics threads a run has, or need not say so."""
        rollout = getattr(self.runs[0].config, "rollout", None)
        return rollout is None or "num_threads" in rollout.model_fields_set


def make_plan(config: str, arguments: Sequence[str]) -> SweepPlan:
    """Checks the settings of every run of a grid.

    Args:
        config: name of a preset, or path of a YAML file.
        arguments: ``section.key=value`` with any number of values, as ``expand_grid`` takes them.

    Raises:
        ConfigError: with every problem of every run.
    """
    points = expand_grid(arguments)
    configs: list[AnyConfig] = []
    problems: dict[str, None] = {}  # an ordered set: most problems are those of many runs
    for point in points:
        try:
            configs.append(load_config(config, point.overrides))
        except ConfigError as error:
            problems.update(dict.fromkeys(error.args))
    if any(config.run.dir is not None for config in configs):
        problems["run.dir cannot be set in a sweep, whose folder is given by --dir"] = None
    if problems:
        raise ConfigError(*problems)
    names = run_names([point.varied for point in points])
    _check_all_differ(names, configs)
    return SweepPlan(
        config,
        tuple(arguments),
        tuple(
            PlannedRun(name, point.varied, config)
            for name, point, config in zip(names, points, configs, strict=True)
        ),
    )


def run_names(varied: Sequence[Mapping[str, str]]) -> list[str]:
    """Names such as ``seed1-inner_step_size0.05``, safe as names of folders and all different.

    Args:
        varied: the settings that differ between the runs, and their values, for each run.
    """
    labels = short_labels(varied[0]) if varied else {}
    pairs = [[(labels[name], value) for name, value in values.items()] for values in varied]
    names = [
        "-".join(_safe(label) + _safe(value) for label, value in pair)[:_MAX_NAME_LENGTH] or "run"
        for pair in pairs
    ]
    # Two values may look alike without their special characters, or on a disk that knows no case.
    counts = Counter(name.lower() for name in names)
    return [
        name if counts[name.lower()] == 1 else f"{name}-{_digest(repr(pair))}"
        for name, pair in zip(names, pairs, strict=True)
    ]


def short_labels(names: Iterable[str]) -> dict[str, str]:
    """The last part of each setting's name, or all of it where two would be the same."""
    keys = {name: name.rpartition(".")[2] for name in names}
    counts = Counter(keys.values())
    return {name: key if counts[key] == 1 else name for name, key in keys.items()}


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("_")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _check_all_differ(names: Sequence[str], configs: Sequence[AnyConfig]) -> None:
    first_name: dict[str, str] = {}
    for name, config in zip(names, configs, strict=True):
        settings = config_to_yaml(config)
        if settings in first_name:
            raise ConfigError(f"the runs {first_name[settings]} and {name} have the same settings")
        first_name[settings] = name
