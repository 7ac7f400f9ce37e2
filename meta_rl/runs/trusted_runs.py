"""Which runs may import what they name, by their files and settings; see ``config.trust``."""

from pathlib import Path

from meta_rl.config import AnyConfig, ConfigError
from meta_rl.config.algorithm import ALGORITHM_NAME, allow_algorithm
from meta_rl.config.layers import file_layers, merged
from meta_rl.config.trust import (
    ENV_ID,
    UntrustedRunError,
    check_modules,
    named_modules,
    run_of,
    run_of_file,
    trust_modules,
)

__all__ = [
    "UntrustedRunError",
    "check_trusted",
    "modules_of",
    "modules_of_file",
    "run_of_file",
    "trust_files",
    "trust_run",
]


def modules_of(config: AnyConfig) -> dict[str, str]:
    """The settings that import a module, by dotted name, and their values."""
    return named_modules(config.model_dump(mode="json"))


def modules_of_file(file: Path) -> dict[str, str]:
    """The same of a file of settings, of which nothing is imported; none where it is damaged."""
    try:
        return named_modules(merged(file_layers(str(file))))
    except ConfigError:
        return {}


def check_trusted(path: Path, config: AnyConfig) -> None:
    """Refuses to make an environment from a module that a run names, unless the run is known.

    A run's algorithm was checked already when its settings were loaded.

    Args:
        path: the run directory, or a checkpoint in it.
        config: the run's settings.

    Raises:
        UntrustedRunError: they name a module, and the run was neither started here nor trusted.
    """
    modules = modules_of(config)
    check_modules(path, {name: modules[name] for name in modules if name == ENV_ID})


def trust_run(path: Path, config: AnyConfig) -> None:
    """Remembers that the modules which a run names may be imported.

    Where that cannot be written down, the user will be asked again.

    Args:
        path: the run directory, or a checkpoint in it.
        config: the run's settings.
    """
    trust_modules(path, modules_of(config))


def trust_files(path: Path) -> None:
    """The same before a run is opened, for what its files name; now and later.

    Args:
        path: a run directory, a checkpoint or a file of settings in one.
    """
    folder = path if path.is_dir() else path.parent
    files = (folder / "config.yaml", folder / "config.json", run_of(folder) / "config.yaml", path)
    for file in files:
        modules = modules_of_file(file) if file.is_file() else {}
        trust_modules(run_of_file(file) or folder, modules)
        if ALGORITHM_NAME in modules:
            allow_algorithm(modules[ALGORITHM_NAME])
