"""Loads settings from a preset or a YAML file and from overrides such as ``run.seed=1``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meta_rl.config.algorithm import ALGORITHM_NAME, allow_algorithm
from meta_rl.config.former_names import with_present_names, without_neutral_settings
from meta_rl.config.kinds import kind_of_run, kind_of_tasks, section_names
from meta_rl.config.layers import Layer, file_layers, merged, override_layer
from meta_rl.config.problems import ConfigError, Location, find_problems
from meta_rl.config.replaced_algorithm import merged_for_present_algorithm
from meta_rl.config.schema import Config
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig
from meta_rl.config.trust import ENV_ID, check_modules, named_modules
from meta_rl.reading.yaml_values import to_yaml

AnyConfig = Config | SineRunConfig | FewShotRunConfig
"""The settings of a run of any kind."""


def load_config(config: str, overrides: Sequence[str] = ()) -> AnyConfig:
    """Loads a configuration; later overrides win over earlier ones and over the file.

    A user's algorithm that they name is imported: where the command line or a file of the user's
    own names it, or a run that may do so, see ``config.trust``.

    Args:
        config: name of a preset, or path of a YAML file.
        overrides: ``section.key=value``, the value in YAML.

    Raises:
        ConfigError: with every problem and where each comes from.
        UntrustedRunError: a run names an algorithm, and may not.
    """
    layers: list[Layer] = []
    problems: list[str] = []
    try:
        layers += file_layers(config)
    except ConfigError as error:
        problems += error.args
    for override in overrides:
        try:
            layers.append(override_layer(override))
        except ConfigError as error:
            problems += error.args
    if problems:
        raise ConfigError(*problems)
    settings = merged(layers)
    _check_trusted(settings, layers, own_runs=layers[-1 - len(overrides)].runs[:1])
    num_files = len(layers) - len(overrides)
    default = _algorithm_name({}, kind_of_tasks(settings))
    settings = merged_for_present_algorithm(layers[:num_files], layers[num_files:], default)
    return _validate(
        settings, {location: s for layer in layers for location, s in layer.sources.items()}
    )


def config_from_mapping(
    mapping: Mapping[str, Any], source: str, run: Path | None = None
) -> AnyConfig:
    """Makes a configuration from plain values, for example those that a checkpoint holds.

    Args:
        mapping: sections by name.
        source: where they come from; error messages name it.
        run: the run directory or checkpoint that they are of. Only what it may import is imported;
            without it, only what was imported before.

    Raises:
        ConfigError: with every problem.
        UntrustedRunError: a run names an algorithm, and may not.
    """
    settings = with_present_names(mapping)
    modules = named_modules(settings)
    if run is not None and ALGORITHM_NAME in modules:
        check_modules(run, {ALGORITHM_NAME: modules[ALGORITHM_NAME]})
        allow_algorithm(modules[ALGORITHM_NAME])
    return _validate(settings, {(): source})


def config_to_yaml(config: AnyConfig) -> str:
    """Writes all settings, defaults included, so that ``load_config`` reads the same back."""
    sections = config.model_dump(mode="json")
    return to_yaml({name: sections[name] for name in section_names(type(config))})


def _check_trusted(
    settings: Mapping[str, Any], layers: Sequence[Layer], own_runs: Sequence[Path]
) -> None:
    """Refuses modules that only a run names, and allows the algorithm of all others.

    The environment of a run that the user has named is left to whoever makes it.
    """
    for name, module in named_modules(settings).items():
        layer = next(layer for layer in reversed(layers) if layer.gives(name))
        for run in layer.runs:
            if name != ENV_ID or run not in own_runs:
                check_modules(run, {name: module})
        if name == ALGORITHM_NAME:
            allow_algorithm(module)


def _validate(settings: dict[str, Any], sources: Mapping[Location, str]) -> AnyConfig:
    kind: Any = kind_of_tasks(settings)
    try:
        kind = kind_of_run(kind, _algorithm_name(settings, kind))
    except ValueError as error:
        location = tuple(ALGORITHM_NAME.split("."))
        raise ConfigError(_with_source(str(error), location, sources)) from None
    # An absent section is an empty one, so that what it requires is reported by its full name.
    settings = {name: {} for name in kind.model_fields} | without_neutral_settings(settings, kind)
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
