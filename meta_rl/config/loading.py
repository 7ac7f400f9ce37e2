"""Reads settings from a preset or a YAML file and from overrides such as ``run.seed=1``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meta_rl.config.closest import did_you_mean
from meta_rl.config.former_names import with_present_names, with_present_sources
from meta_rl.config.kinds import kind_of_run, kind_of_tasks
from meta_rl.config.problems import ConfigError, Location, find_problems
from meta_rl.config.schema import Config
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig
from meta_rl.reading import file_errors_as, read_text
from meta_rl.reading.plain_files import MIB
from meta_rl.reading.yaml_values import YamlError, parse_yaml, to_yaml

AnyConfig = Config | SineRunConfig | FewShotRunConfig
"""The settings of a run of any kind."""

_DOTTED_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
# A second's work for the reader of YAML.
_MAX_FILE_BYTES = MIB // 4


@dataclass(frozen=True)
class Layer:
    """Settings from one place.

    Attributes:
        settings: sections by name, of plain values.
        sources: for each location that is set here, the words that lead a reader to it.
    """

    settings: dict[str, Any]
    sources: Mapping[Location, str]


def preset_names() -> list[str]:
    """Returns the names of the presets that come with the package."""
    return sorted(_preset_files())


def load_config(config: str, overrides: Sequence[str] = ()) -> AnyConfig:
    """Loads a configuration; later overrides win over earlier ones and over the file.

    Args:
        config: name of a preset, or path of a YAML file.
        overrides: ``section.key=value``, the value in YAML.

    Raises:
        ConfigError: with every problem and where each comes from.
    """
    layers: list[Layer] = []
    problems: list[str] = []
    try:
        file = _find_file(config)
        layers.append(_read_file(file))
    except ConfigError as error:
        problems += error.args
    for override in overrides:
        try:
            layers.append(_read_override(override))
        except ConfigError as error:
            problems += error.args
    if problems:
        raise ConfigError(*problems)
    sources: dict[Location, str] = {(): str(file)}
    settings: dict[str, Any] = {}
    for layer in layers:
        sources.update(with_present_sources(layer.sources))
        settings = _merged(settings, with_present_names(layer.settings))
    return _validate(settings, sources)


def config_from_mapping(mapping: Mapping[str, Any], source: str) -> AnyConfig:
    """Makes a configuration from plain values, for example those that a checkpoint holds.

    Args:
        mapping: sections by name.
        source: where they come from; error messages name it.

    Raises:
        ConfigError: with every problem.
    """
    return _validate(with_present_names(mapping), {(): source})


def config_to_yaml(config: AnyConfig) -> str:
    """Writes all settings, defaults included, so that ``load_config`` reads the same back."""
    return to_yaml(config.model_dump(mode="json"))


def _validate(settings: dict[str, Any], sources: Mapping[Location, str]) -> AnyConfig:
    kind: Any = kind_of_tasks(settings)
    try:
        kind = kind_of_run(kind, _algorithm_name(settings, kind))
    except ValueError as error:
        raise ConfigError(_with_source(str(error), ("algorithm", "name"), sources)) from None
    # An absent section is an empty one, so that what it requires is reported by its full name.
    settings = {name: {} for name in kind.model_fields} | settings
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        problems = find_problems(settings, error, kind)
    raise ConfigError(
        *(_with_source(problem.text, problem.location, sources) for problem in problems)
    )


def _algorithm_name(settings: Mapping[str, Any], kind: type[AnyConfig]) -> str:
    """What the settings name; the default where that is no name, which validation reports."""
    default: str = kind.model_fields["algorithm"].default.name
    section = settings.get("algorithm", {})
    name = section.get("name", default) if isinstance(section, dict) else default
    return name if isinstance(name, str) else default


def _with_source(text: str, location: Location, sources: Mapping[Location, str]) -> str:
    """Names the place that set this location or, if none did, the section around it."""
    while location not in sources:
        location = location[:-1]
    return f"{text} [{sources[location]}]"


def _preset_files() -> dict[str, Path]:
    packaged = Path(__file__).parents[1] / "configs"
    # In a checkout, the presets lie beside the package.
    folder = packaged if packaged.is_dir() else Path(__file__).parents[2] / "configs"
    return {path.stem: path for path in folder.glob("*.yaml")}


def _find_file(config: str) -> Path:
    presets = _preset_files()
    if config in presets:
        return presets[config]
    path = Path(config)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1 or path.exists():
        return path
    hint = did_you_mean(config, presets)
    raise ConfigError(
        f"there is neither a preset nor a file called {config!r}{hint} "
        f"[presets: {', '.join(sorted(presets))}]"
    )


def _read_file(path: Path) -> Layer:
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
    return Layer(settings, {loc: f"{path}:{line}" for loc, line in document.lines.items()})


def _read_override(override: str) -> Layer:
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
    return Layer(settings, sources)


def _merged(below: dict[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Two mappings as one: mappings within are merged, of all else the second has its own."""
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value)
        merged[key] = value
    return merged
