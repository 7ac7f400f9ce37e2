"""Reads settings from a preset or a YAML file and from overrides such as ``run.seed=1``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from meta_rl.config.problems import ConfigError, Location, did_you_mean, find_problems
from meta_rl.config.schema import Config
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig

AnyConfig = Config | SineRunConfig | FewShotRunConfig
"""The settings of a run of any kind."""
_SUPERVISED: tuple[type[SineRunConfig | FewShotRunConfig], ...] = (SineRunConfig, FewShotRunConfig)

_DOTTED_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")


@dataclass(frozen=True)
class Layer:
    """Settings from one place.

    Attributes:
        settings: an OmegaConf mapping.
        sources: for each location that is set here, the words that lead a reader to it.
    """

    settings: Any
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
    for layer in layers:
        sources.update(layer.sources)
    try:
        merged = OmegaConf.merge(*(layer.settings for layer in layers))
        settings = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        location = tuple(str(getattr(error, "full_key", None) or "").split("."))
        reason = str(error).splitlines()[0]
        text = f"{'.'.join(location)} cannot be resolved: {reason}"
        raise ConfigError(_with_source(text, location, sources)) from None
    return _validate(cast(dict[str, Any], settings), sources)


def config_from_mapping(mapping: Mapping[str, Any], source: str) -> AnyConfig:
    """Makes a configuration from plain values, for example those that a checkpoint holds.

    Args:
        mapping: sections by name.
        source: where they come from; error messages name it.

    Raises:
        ConfigError: with every problem.
    """
    return _validate(dict(mapping), {(): source})


def config_to_yaml(config: AnyConfig) -> str:
    """Writes all settings, defaults included, so that ``load_config`` reads the same back."""
    # OmegaConf's dumper quotes text that its own reader would take for a number.
    return OmegaConf.to_yaml(OmegaConf.create(_literal(config.model_dump(mode="json"))))


def _validate(settings: dict[str, Any], sources: Mapping[Location, str]) -> AnyConfig:
    # An absent section is an empty one, so that what it requires is reported by its full name.
    kind = _kind(settings)
    settings = {name: {} for name in kind.model_fields} | settings
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        problems = find_problems(settings, error, kind)
    raise ConfigError(
        *(_with_source(problem.text, problem.location, sources) for problem in problems)
    )


def _kind(settings: Mapping[str, Any]) -> type[AnyConfig]:
    """Tells the kind of a run by the section that says what its tasks are."""
    for kind in _SUPERVISED:
        if kind.task_section in settings and "env" not in settings:
            return kind
    return Config


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
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode | None):
            raise ConfigError(f"{path} should hold sections of settings, such as 'env:'")
        sources = {loc: f"{path}:{line}" for loc, line in _locations(node, ())}
        return Layer(OmegaConf.create(text), sources)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where} is not valid YAML: {reason}") from None
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"{path} is not readable: {str(error).splitlines()[0]}") from None


def _read_override(override: str) -> Layer:
    name, equals, value = override.partition("=")
    if not equals or not _DOTTED_NAME.fullmatch(name):
        raise ConfigError(f"the override {override!r} should have the form section.key=value")
    source = f"command line: {override}"
    keys = tuple(name.split("."))
    sources = {keys[: depth + 1]: source for depth in range(len(keys))}
    try:
        node = yaml.compose(value, Loader=yaml.SafeLoader)
        sources |= {location: source for location, _ in _locations(node, keys)}
        return Layer(OmegaConf.from_dotlist([override]), sources)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"the value of {name} is not valid YAML: {reason} [{source}]") from None


def _locations(node: yaml.Node | None, prefix: Location) -> Iterator[tuple[Location, int]]:
    """Yields the location of everything below a YAML node, with its line, counted from 1."""
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, child) for key, child in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(index), child, child) for index, child in enumerate(node.value)]
    else:
        return
    for key, marked, child in children:
        location = (*prefix, key)
        yield location, marked.start_mark.line + 1
        yield from _locations(child, location)


def _literal(value: Any) -> Any:
    """Escapes text that OmegaConf would take for an interpolation."""
    if isinstance(value, dict):
        return {key: _literal(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_literal(child) for child in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    return value
