"""Says what is wrong with settings, in the words of the person who wrote them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from meta_rl.config.algorithm import algorithms_with
from meta_rl.config.closest import did_you_mean
from meta_rl.config.kinds import defaults_of, setting_names
from meta_rl.config.rules import RawSettings, contradictions
from meta_rl.config.schema import RunKind
from meta_rl.reading import SentenceError, one_line

Location = tuple[str, ...]
"""The keys that lead to a setting, for example ``("policy", "hidden_sizes", "1")``."""

# Pydantic speaks of Python's types; users write YAML.
_PLAIN_WORDS = {
    "bool_type": "should be true or false",
    "dict_type": "should be a mapping of settings",
    "finite_number": "should be a finite number",
    "float_type": "should be a number",
    "int_from_float": "should be an integer",
    "int_type": "should be an integer",
    "invalid-json-value": "should hold only text, numbers, true, false, null, lists and mappings",
    "model_type": "should be a mapping of settings",
    "string_type": "should be text",
    "tuple_type": "should be a list",
}


class ConfigError(SentenceError):
    """Everything that is wrong with a configuration: one sentence per problem in ``args``."""

    def __init__(self, *problems: str) -> None:
        """Keeps each sentence on one line, whatever user's text it quotes."""
        ValueError.__init__(self, *map(one_line, problems))

    def __str__(self) -> str:
        if len(self.args) == 1:
            return str(self.args[0])
        lines = "".join(f"\n  - {problem}" for problem in self.args)
        return f"the configuration has {len(self.args)} problems:{lines}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the setting at a location."""

    location: Location
    text: str


def find_problems(
    settings: Mapping[str, Any], error: ValidationError, kind: type[RunKind]
) -> list[Problem]:
    """Lists all that is wrong with settings that pydantic refused for a kind of run.

    Pydantic compares settings with each other only when each is right by itself, so contradictions
    between the sound ones are looked for here.
    """
    details = [detail for detail in error.errors(include_url=False) if detail["loc"]]
    problems = [
        Problem(tuple(str(key) for key in detail["loc"]), _describe(detail, kind))
        for detail in details
    ]
    failed = {".".join(problem.location) for problem in problems}
    sections = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    raw = RawSettings(sections, defaults_of(kind), failed)
    found = contradictions((*kind.rules, *kind.algorithm_rules), raw)
    return problems + [Problem(tuple(name.split(".")), text) for name, text in found]


def _describe(detail: ErrorDetails, kind: type[RunKind]) -> str:
    name = ".".join(str(key) for key in detail["loc"])
    if detail["type"] == "missing":
        return f"{name} is required"
    if detail["type"] == "extra_forbidden":
        others = algorithms_with(name, kind.tasks_give)
        if others:
            part = "setting" if "." in name else "section"
            return f"{name} is a {part} of algorithm.name={' or '.join(others)}"
        return f"{name} is not a setting{_nearest_setting(name, kind)}"
    if detail["type"] == "invalid_key":
        return f"{name} is not a setting: names should be text"
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
    wish = _PLAIN_WORDS.get(detail["type"], message)
    choices = re.findall(r"'([^']*)'", wish) if detail["type"] == "literal_error" else []
    hint = did_you_mean(str(detail["input"]), choices)
    return f"{name} {wish}, but is {_shown(detail['input'])}{hint}"


def _nearest_setting(name: str, kind: type[RunKind]) -> str:
    settings = setting_names(kind)
    key = name.rpartition(".")[2]
    same_key = [setting for setting in settings if setting.rpartition(".")[2] == key]
    return did_you_mean(name, same_key) or did_you_mean(name, [*kind.model_fields, *settings])


def _shown(value: Any, max_length: int = 60) -> str:
    text = json.dumps(value, default=repr, skipkeys=True, ensure_ascii=False)
    return text if len(text) <= max_length else f"{text[:max_length]}..."
