"""A grid of settings in one line: ``run.seed=1..5 adaptation.inner_step_size=0.05,0.1``."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meta_rl.config.problems import ConfigError

MAX_POINTS = 1000

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_CLOSING = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True)
class GridPoint:
    """One choice of values.

    Attributes:
        overrides: ``section.key=value``, in the order in which they were written.
        varied: the settings that take several values in the grid, and their values here.
    """

    overrides: tuple[str, ...]
    varied: Mapping[str, str]


def expand_grid(arguments: Sequence[str]) -> list[GridPoint]:
    """Every combination of values; the last setting changes fastest.

    ``1..5`` stands for the whole numbers from 1 to 5, both included, and a comma separates values.
    A comma within brackets or quotes does not: ``[64,64],[100,100]`` is two values.

    Args:
        arguments: ``section.key=value`` with any number of values.

    Raises:
        ConfigError: a range or a list makes no sense, a setting is varied twice, or there are more
            than ``MAX_POINTS`` combinations.
    """
    problems: list[str] = []
    choices: list[list[str]] = []
    varied: list[str] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        try:
            # What is no setting is passed on, for the loader to say so.
            values = _values(text, argument) if equals else [""]
        except ConfigError as error:
            problems += error.args
            continue
        choices.append([f"{name}{equals}{value}" for value in values])
        if len(values) > 1:
            varied.append(name)
    names = [argument.partition("=")[0] for argument in arguments]
    problems += [
        f"{name} takes several values and is given more than once"
        for name in dict.fromkeys(varied)
        if names.count(name) > 1
    ]
    if not problems and (number := math.prod(map(len, choices))) > MAX_POINTS:
        problems.append(f"the grid has {number} points, and {MAX_POINTS} are the most it may have")
    if problems:
        raise ConfigError(*problems)
    return [_point(overrides, varied) for overrides in itertools.product(*choices)]


def _point(overrides: tuple[str, ...], varied: Sequence[str]) -> GridPoint:
    values = dict(override.partition("=")[::2] for override in overrides)
    return GridPoint(overrides, {name: values[name] for name in varied})


def _values(text: str, argument: str) -> list[str]:
    items = _split(text)
    if len(items) > 1 and "" in items:
        raise ConfigError(f"{argument} has an empty value between its commas")
    values = [value for item in items for value in _range(item, argument)]
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ConfigError(f"{argument} has the value {twice[0]} more than once")
    return values


def _range(item: str, argument: str) -> list[str]:
    match = _RANGE.fullmatch(item)
    if match is None:
        return [item]
    try:
        first, last = map(int, match.groups())
    except ValueError:
        raise ConfigError(
            f"{argument}: the range {item} should have a whole number at each end"
        ) from None
    if first > last:
        raise ConfigError(f"{argument}: the range {item} is empty; did you mean {last}..{first}?")
    if last - first >= MAX_POINTS:
        raise ConfigError(f"{argument}: the range {item} has more than {MAX_POINTS} values")
    return [str(value) for value in range(first, last + 1)]


def _split(text: str) -> list[str]:
    """Splits at the commas that are outside brackets and quotes."""
    items = [""]
    closing: list[str] = []
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        # Within a word, it is an apostrophe.
        elif character in "'\"" and not items[-1].rstrip(" ")[-1:].isalnum():
            quote = character
        elif character in _CLOSING:
            closing.append(_CLOSING[character])
        elif closing and character == closing[-1]:
            closing.pop()
        if character == "," and not closing and not quote:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items] if len(items) > 1 else items
