"""The settings of a run as one type: those of its kind of tasks, and those of its algorithm."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import create_model

from meta_rl.config.algorithm import algorithm_class, sections_of
from meta_rl.config.schema import Config, RunKind
from meta_rl.config.section import Section
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig

KINDS: tuple[type[Config | SineRunConfig | FewShotRunConfig], ...] = (
    SineRunConfig,
    FewShotRunConfig,
    Config,
)
"""The kinds of tasks; where nothing tells which, it is the last one."""


def kind_of_tasks(settings: Mapping[str, Any]) -> type[Config | SineRunConfig | FewShotRunConfig]:
    """Tells the kind by the section that says what the tasks are."""
    if Config.task_section in settings:
        return Config
    return next((kind for kind in KINDS if kind.task_section in settings), Config)


@lru_cache
def kind_of_run(kind: type[RunKind], algorithm: str) -> type[Any]:
    """The kind with the sections that the algorithm brings, the same class at every call.

    Raises:
        ValueError: there is no such algorithm, it learns from other tasks, or one of its sections
            has a name that is taken.
    """
    found = algorithm_class(algorithm)
    learns_from = getattr(found, "learns_from", None)
    wanted = "episodes" if kind is Config else "examples"
    if learns_from != wanted:
        raise ValueError(
            f"algorithm.name={algorithm} learns from {learns_from}, and these tasks give {wanted}"
        )
    sections = sections_of(algorithm, found)
    for name in sections:
        if name in kind.model_fields:
            raise ValueError(f"algorithm.name={algorithm}: the section {name} is there already")
    fields: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    made = create_model(f"{kind.__name__}Of{found.__name__}", __base__=kind, **fields)
    made.algorithm_rules = tuple(getattr(found, "rules", ()))
    return made


def section_fields(section: Any) -> dict[str, Any]:
    """The fields of a section by key."""
    assert issubclass(section, Section)
    return dict(section.model_fields)


def setting_names(kind: type[RunKind]) -> list[str]:
    """The dotted name of every setting of a kind of run, for example ``run.seed``."""
    return list(fields_of(kind))


def fields_of(kind: type[RunKind]) -> dict[str, Any]:
    """The field of every setting, by dotted name."""
    return {
        f"{section}.{key}": field
        for section, group in kind.model_fields.items()
        for key, field in section_fields(group.annotation).items()
    }


def defaults_of(kind: type[RunKind]) -> dict[str, Any]:
    """The default of every setting, by dotted name."""
    return {name: field.default for name, field in fields_of(kind).items()}
