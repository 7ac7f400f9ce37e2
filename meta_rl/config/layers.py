"""Where settings come from: presets and files, which may extend others, and the command line."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_rl.config.closest import did_you_mean
from meta_rl.config.former_names import with_present_names, with_present_sources
from meta_rl.config.problems import ConfigError, Location
from meta_rl.config.trust import run_of_file
from meta_rl.reading import file_errors_as, read_text
from meta_rl.reading.plain_files import MIB
from meta_rl.reading.yaml_values import YamlError, parse_yaml

_EXTEND = "extend"
# More than anybody reads through.
_MAX_EXTENDED = 10
_DOTTED_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
# A second's work for the reader of YAML.
_MAX_FILE_BYTES = MIB // 4


@dataclass(frozen=True)
class Layer:
    """Settings from one place, under the names that they have now.

    Attributes:
        settings: sections by name, of plain values.
        sources: for each location that is set here, the words that lead a reader to it.
        runs: the runs that these settings are part of, and so are not the user's own words: that
            of the file, and those of the files that extend it.
    """

    settings: Mapping[str, Any]
    sources: Mapping[Location, str]
    runs: tuple[Path, ...] = ()

    def gives(self, name: str) -> bool:
        """Whether a setting is given here, by its dotted name."""
        section, key = name.split(".")
        values = self.settings.get(section)
        return isinstance(values, Mapping) and key in values


def preset_names() -> list[str]:
    """Returns the names of the presets that come with the package."""
    return sorted(_preset_files())


def file_layers(config: str) -> list[Layer]:
    """A preset or file below which all lie that it extends, the deepest first.

    Args:
        config: name of a preset, or path of a YAML file.

    Raises:
        ConfigError: a file cannot be read, holds no settings, or extends what it cannot extend.
    """
    path, source = _find_file(config), ""
    layers: list[Layer] = []
    files: list[Path] = []
    runs: tuple[Path, ...] = ()
    while True:
        try:
            settings, lines = _read_file(path)
        except ConfigError as error:
            raise ConfigError(f"{error}{source}") from None
        files.append(path.resolve())
        if files[-1] in files[:-1]:
            raise ConfigError(f"{_EXTEND} leads back to {path}, which it comes from{source}")
        run = run_of_file(path)
        runs = runs if run is None or run in runs else (*runs, run)
        extends, extended = _EXTEND in settings, settings.pop(_EXTEND, None)
        sources = {location: f"{path}:{number}" for location, number in lines.items()}
        layers.append(
            Layer(
                with_present_names(settings), with_present_sources(sources) | {(): str(path)}, runs
            )
        )
        if not extends:
            return layers[::-1]
        source = f" [{sources.get((_EXTEND,), path)}]"
        if not isinstance(extended, str) or not extended:
            raise ConfigError(
                f"{_EXTEND} should be the name of a preset or the path of a YAML file, but is "
                f"{json.dumps(extended, default=repr)[:60]}{source}"
            )
        if len(files) > _MAX_EXTENDED:
            raise ConfigError(f"{_EXTEND} leads through more than {_MAX_EXTENDED} files{source}")
        path = _find_file(extended, path.parent, source)


def override_layer(override: str) -> Layer:
    """What ``section.key=value`` on the command line sets.

    Raises:
        ConfigError: it has another form, or its value is not YAML.
    """
    name, equals, value = override.partition("=")
    if not equals or not _DOTTED_NAME.fullmatch(name):
        raise ConfigError(f"the override {override!r} should have the form section.key=value")
    source = f"command line: {override}"
    keys = tuple(name.split("."))
    sources = {keys[: depth + 1]: source for depth in range(len(keys))}
    try:
        document = parse_yaml(value)
    except YamlError as error:
        raise ConfigError(f"the value of {name} is not valid YAML: {error} [{source}]") from None
    sources |= {(*keys, *location): source for location in document.lines}
    settings = document.value
    for key in reversed(keys):
        settings = {key: settings}
    return Layer(with_present_names(settings), with_present_sources(sources))


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """The settings of all layers; later ones win."""
    settings: dict[str, Any] = {}
    for layer in layers:
        settings = _merged(settings, layer.settings)
    return settings


def _merged(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Two mappings as one: mappings within are merged, of all else the second has its own."""
    result = dict(below)
    for key, value in above.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value)
        result[key] = value
    return result


def _preset_files() -> dict[str, Path]:
    packaged = Path(__file__).parents[1] / "configs"
    # In a checkout, the presets lie beside the package.
    folder = packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"
    return {path.stem: path for path in folder.glob("*.yaml")}


def _find_file(config: str, folder: Path = Path(), source: str = "") -> Path:
    """The file of a preset, or a path that is relative to a folder."""
    presets = _preset_files()
    if config in presets:
        return presets[config]
    path = folder / config
    if path.suffix in {".yaml", ".yml"} or len(Path(config).parts) > 1 or path.exists():
        return path
    raise ConfigError(
        f"there is neither a preset nor a file called {config!r}{did_you_mean(config, presets)} "
        f"[presets: {', '.join(sorted(presets))}]{source}"
    )


def _read_file(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    """Settings as a file has them, and their lines."""
    with file_errors_as(ConfigError):
        text = read_text(path, _MAX_FILE_BYTES)
    try:
        document = parse_yaml(text)
    except YamlError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ConfigError(f"{where} is not valid YAML: {error}") from None
    settings = {} if document.value is None else document.value
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} should hold sections of settings, such as 'env:'")
    return settings, document.lines
