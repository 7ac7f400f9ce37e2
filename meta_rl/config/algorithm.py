"""Which algorithm a run trains with: ours by name, a user's as ``module:Class``.

An algorithm brings settings of its own. They become sections of the run's settings, checked as all
others are. Nothing is imported before settings name it.
"""

import importlib
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


@lru_cache
def algorithm_class(name: str) -> Any:
    """The class behind ``algorithm.name``.

    Raises:
        ValueError: there is none, or it lacks what an algorithm needs; the message says what.
    """
    module_name, colon, class_name = ALGORITHMS.get(name, name).partition(":")
    if not colon:
        raise ValueError(
            f"algorithm.name should be one of {', '.join(ALGORITHMS)} or module:Class, but is "
            f"{name}{did_you_mean(name, ALGORITHMS)}"
        )
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
    if not isinstance(sections, Mapping) or not all(
        isinstance(section, type) and issubclass(section, Section) for section in sections.values()
    ):
        raise ValueError(
            f"algorithm.name={name}: sections should map names to classes of meta_rl.config.Section"
        )
    return sections
