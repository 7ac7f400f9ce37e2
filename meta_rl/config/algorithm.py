"""Which algorithm a run trains with: ours by name, a user's as ``module:Class``.

An algorithm brings settings of its own. They become sections of the run's settings, checked as all
others are. Nothing is imported before settings name it.
"""

import importlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from meta_rl.config.closest import did_you_mean
from meta_rl.config.section import Effect, Section, setting

ALGORITHMS = {
    "maml_trpo": "meta_rl.algorithms.maml_trpo:MamlTrpo",
    "promp": "meta_rl.algorithms.promp:ProMP",
    "maml": "meta_rl.algorithms.maml:Maml",
    "reptile": "meta_rl.algorithms.reptile:Reptile",
}
"""Where each of ours is."""

ALGORITHM_NAME = "algorithm.name"
"""The setting that names it."""

_allowed: set[str] = set()
_SECTION_NAME = re.compile("[a-z][a-z0-9_]*")
_VERBS = ("initial_state", "adapt", "update")


class AlgorithmConfig(Section):
    """What learns."""

    name: str = setting(
        "maml_trpo",
        meaning=f"{', '.join(ALGORITHMS)}, or module:Class for an algorithm of your own.",
        effect=Effect.PROBLEM,
        min_length=1,
    )


class SupervisedAlgorithmConfig(AlgorithmConfig):
    """What learns."""

    name: str = setting(
        "maml",
        meaning=f"{', '.join(ALGORITHMS)}, or module:Class for an algorithm of your own.",
        effect=Effect.PROBLEM,
        min_length=1,
    )


def allow_algorithm(name: str) -> None:
    """Lets this process import the module of a user's algorithm.

    Args:
        name: ``module:Class``.
    """
    _allowed.add(name)


def is_allowed(name: str) -> bool:
    """Whether this process may import an algorithm."""
    return name in ALGORITHMS or name in _allowed


@lru_cache
def algorithm_class(name: str) -> Any:
    """The class behind ``algorithm.name``.

    Raises:
        ValueError: there is none, it may not be imported, or it lacks what an algorithm needs; the
            message says what.
    """
    module_name, colon, class_name = ALGORITHMS.get(name, name).partition(":")
    if not (module_name and colon and class_name):
        raise ValueError(
            f"algorithm.name should be one of {', '.join(ALGORITHMS)} or module:Class, but is "
            f"{name}{did_you_mean(name, ALGORITHMS)}"
        )
    if not is_allowed(name):
        raise ValueError(f"algorithm.name={name} would run code that nobody has allowed to run")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a user's module raises is the user's to read
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"algorithm.name={name} cannot be imported: {reason}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ValueError(f"algorithm.name={name}: {module_name} has no class {class_name}")
    missing = [verb for verb in _VERBS if not callable(getattr(found, verb, None))]
    if missing:
        raise ValueError(f"algorithm.name={name}: the class has no method {missing[0]}")
    sections_of(name, found)
    return found


def sections_of(name: str, algorithm: Any) -> Mapping[str, type[Section]]:
    """The sections of settings that an algorithm brings, by name; none by default.

    Raises:
        ValueError: they are not sections.
    """
    sections = getattr(algorithm, "sections", {})
    if not isinstance(sections, Mapping) or not all(map(_is_section, sections.values())):
        raise ValueError(
            f"algorithm.name={name}: sections should map names to classes of meta_rl.config.Section"
        )
    for section, group in sections.items():
        if not isinstance(section, str) or not _SECTION_NAME.fullmatch(section):
            raise ValueError(
                f"algorithm.name={name}: the name of a section should be of small letters, digits "
                f"and underscores, but is {section}"
            )
        for key, field in group.model_fields.items():
            if field.is_required() or "effect" not in (field.json_schema_extra or {}):
                raise ValueError(
                    f"algorithm.name={name}: {section}.{key} should be declared with "
                    "meta_rl.config.setting and have a default"
                )
    return sections


def algorithms_with(setting_name: str, learns_from: str) -> list[str]:
    """Which of ours have a setting, or a section.

    Args:
        setting_name: dotted name of the setting, or name of the section.
        learns_from: as that of an algorithm.
    """
    section, _, key = setting_name.partition(".")
    found = []
    for name in ALGORITHMS:
        algorithm = algorithm_class(name)
        group = sections_of(name, algorithm).get(section)
        has_it = group is not None and (not key or key in group.model_fields)
        if has_it and algorithm.learns_from == learns_from:
            found.append(name)
    return found


def _is_section(group: Any) -> bool:
    return isinstance(group, type) and issubclass(group, Section)
