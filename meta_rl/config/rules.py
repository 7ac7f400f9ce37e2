"""What settings must hold together: rules that compare them with each other."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol


class UnsoundSettingError(Exception):
    """A rule asks for a setting that is wrong by itself, and so has nothing to compare."""


class Settings(Protocol):
    """Settings as rules see them."""

    def __call__(self, name: str) -> Any:
        """The value of the setting with a dotted name; None where this run has no such setting."""

    def is_given(self, name: str) -> bool:
        """Whether the user gave it, rather than leaving the default."""


Contradiction = tuple[str, str]
"""The setting to blame, by dotted name, and a sentence."""
Rule = Callable[[Settings], Iterator[Contradiction]]


def not_greater(smaller: str, larger: str) -> Rule:
    """The first setting, where it is not null, must not be greater than the second."""

    def rule(settings: Settings) -> Iterator[Contradiction]:
        low, high = settings(smaller), settings(larger)
        if low is not None and high is not None and low > high:
            blamed = smaller if settings.is_given(smaller) else larger
            yield blamed, f"{smaller} ({low}) should not be greater than {larger} ({high})"

    return rule


def refused(name: str, value: Any, reason: str) -> Rule:
    """A setting must not have a value.

    Args:
        name: of the setting.
        value: which one.
        reason: goes on after it: why not, and what to do instead.
    """

    def rule(settings: Settings) -> Iterator[Contradiction]:
        if settings(name) == value:
            yield name, f"{name}={value} {reason}"

    return rule


def contradictions(rules: Collection[Rule], settings: Settings) -> list[Contradiction]:
    """All that rules find; one that needs an unsound setting finds nothing."""
    found: list[Contradiction] = []
    for rule in rules:
        try:
            found += rule(settings)
        except UnsoundSettingError:
            continue
    return found


class ValidSettings:
    """Of a configuration whose settings are right by themselves."""

    def __init__(self, config: Any) -> None:
        """``config``: sections as attributes."""
        self._config = config

    def __call__(self, name: str) -> Any:
        """See ``Settings``."""
        section, key = name.split(".")
        return getattr(getattr(self._config, section, None), key, None)

    def is_given(self, name: str) -> bool:
        """See ``Settings``."""
        section, key = name.split(".")
        return key in getattr(self._config, section).model_fields_set


class RawSettings:
    """As a user wrote them, of which some are wrong by themselves."""

    def __init__(
        self, given: Mapping[str, Any], defaults: Mapping[str, Any], failed: Collection[str]
    ) -> None:
        """Takes sections by name, defaults by dotted name, and what failed, by dotted name."""
        self._given, self._defaults, self._failed = given, defaults, failed

    def __call__(self, name: str) -> Any:
        """See ``Settings``.

        Raises:
            UnsoundSettingError: it is wrong by itself.
        """
        section, key = name.split(".")
        if any(name == failed or failed.startswith(f"{name}.") for failed in self._failed):
            raise UnsoundSettingError(name)
        if section in self._failed:
            raise UnsoundSettingError(section)
        return self._given.get(section, {}).get(key, self._defaults.get(name))

    def is_given(self, name: str) -> bool:
        """See ``Settings``."""
        section, key = name.split(".")
        return key in self._given.get(section, {})
