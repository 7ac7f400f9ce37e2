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
    learns_from, rules = getattr(found, "learns_from", None), getattr(found, "rules", ())
    if learns_from not in ("episodes", "examples"):
        raise ValueError(
            f"algorithm.name={algorithm}: learns_from should be episodes or examples, "
            f"but is {learns_from}"
        )
    if learns_from != kind.tasks_give:
        raise ValueError(
            f"algorithm.name={algorithm} learns from {learns_from}, and these tasks give "
            f"{kind.tasks_give}"
        )
    if not isinstance(rules, tuple | list) or not all(map(callable, rules)):
        raise ValueError(f"algorithm.name={algorithm}: rules should be a tuple of functions")
    sections = sections_of(algorithm, found)
    for name in sections:
        if name in kind.model_fields or hasattr(kind, name):
            raise ValueError(f"algorithm.name={algorithm}: a section cannot be called {name}")
    fields: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    made = create_model(f"{kind.__name__}Of{found.__name__}", __base__=kind, **fields)
    made.algorithm_rules = tuple(rules)
    return made


def section_names(kind: type[RunKind]) -> list[str]:
    """The sections in the order in which they are written: the tasks first, the run last."""
    ends = (kind.task_section, "run")
    return [ends[0], *(name for name in kind.model_fields if name not in ends), ends[1]]


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
        for section in section_names(kind)
        for key, field in section_fields(kind.model_fields[section].annotation).items()
    }


def defaults_of(kind: type[RunKind]) -> dict[str, Any]:
    """The default of every setting, by dotted name."""
    return {name: field.default for name, field in fields_of(kind).items()}
