"""What settings change: which two runs are one, which scores may be compared."""

from collections.abc import Collection, Mapping
from typing import Any

from meta_rl.config.kinds import fields_of
from meta_rl.config.schema import RunKind
from meta_rl.config.section import Effect


def effect_of(config: RunKind, name: str) -> Effect:
    """The effect of the setting with a dotted name; of an unknown one, the gravest."""
    field = fields_of(type(config)).get(name)
    return Effect.PROBLEM if field is None else Effect(field.json_schema_extra["effect"])


def plain_settings(config: RunKind) -> dict[str, Any]:
    """Every setting by dotted name, as plain values."""
    return {
        f"{section}.{key}": value
        for section, values in config.model_dump(mode="json").items()
        for key, value in values.items()
    }


def changed_settings(
    before: RunKind, now: RunKind, effects: Collection[Effect] = tuple(Effect)
) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, by dotted name, and their two values; None where one has no such.

    Args:
        before: settings of a run.
        now: settings of a run.
        effects: only settings with one of these effects.
    """
    old, new = plain_settings(before), plain_settings(now)
    return {
        name: (old.get(name), new.get(name))
        for name in {**old, **new}
        if old.get(name) != new.get(name) and effect_of(now, name) in effects
    }


def with_settings(config: RunKind, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Plain sections of a configuration with some settings changed, to be validated again.

    Args:
        config: what they are changed in.
        settings: by dotted name, for example ``{"evaluation.num_tasks": 10}``.
    """
    sections: dict[str, dict[str, Any]] = config.model_dump(mode="json")
    for name, value in settings.items():
        section, key = name.split(".")
        # A section that the run lacks is refused with the setting in it.
        sections.setdefault(section, {})[key] = value
    return sections
