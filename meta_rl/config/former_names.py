"""Settings of earlier versions: old runs and habits go on working."""

from collections.abc import Mapping
from typing import Any

from meta_rl.config.kinds import fields_of
from meta_rl.config.schema import RunKind

FORMER_NAMES = {
    "rollout.meta_batch_size": "run.meta_batch_size",
    "meta_update.meta_batch_size": "run.meta_batch_size",
    "meta_update.method": "algorithm.name",
}
"""Present names by former ones."""
_NEUTRAL = {
    "adaptation.optimiser": "sgd",
    "adaptation.examples_per_step": None,
    "meta_update.gradient_weights": None,
    "adaptation.first_order": False,
}
"""Every supervised run once had these settings of MAML and of Reptile, at these values if they were
those of the other one."""


def with_present_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of one place under the names that they have now.

    Where both names are given, the present one counts, and the former one stays to be refused.

    Args:
        settings: sections by name; what is no mapping stays as it is.
    """
    renamed = {
        name: dict(section) if isinstance(section, Mapping) else section
        for name, section in settings.items()
    }
    for former, present in FORMER_NAMES.items():
        section, key = former.split(".")
        new_section, new_key = present.split(".")
        if not isinstance(renamed.get(section), dict) or key not in renamed[section]:
            continue
        target = renamed.setdefault(new_section, {})
        if isinstance(target, dict) and new_key not in target:
            target[new_key] = renamed[section].pop(key)
    return renamed


def with_present_sources(sources: Mapping[tuple[str, ...], str]) -> dict[tuple[str, ...], str]:
    """Where settings are from, by their location, also under the names that they have now."""
    present = dict(sources)
    for former, name in FORMER_NAMES.items():
        source = sources.get(tuple(former.split(".")))
        if source is not None:
            present[tuple(name.split("."))] = source
    return present


def without_neutral_settings(settings: Mapping[str, Any], kind: type[RunKind]) -> dict[str, Any]:
    """Leaves out what an earlier version wrote down and the run's algorithm does not have.

    Args:
        settings: sections by name; what is no mapping stays as it is.
        kind: of the run.
    """
    kept = dict(settings)
    for name in _NEUTRAL.keys() - fields_of(kind).keys():
        section, key = name.split(".")
        values = kept.get(section)
        if section in kind.model_fields and isinstance(values, Mapping) and key in values:
            is_neutral = type(values[key]) is type(_NEUTRAL[name]) and values[key] == _NEUTRAL[name]
            if is_neutral:
                kept[section] = {other: values[other] for other in values if other != key}
    return kept
