"""What files say for one algorithm, where another one takes its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from meta_rl.config.algorithm import ALGORITHM_NAME, algorithm_class, sections_of
from meta_rl.config.layers import Layer, merged


def merged_for_present_algorithm(
    files: Sequence[Layer], overrides: Sequence[Layer], default: str
) -> dict[str, Any]:
    """The settings of all layers, without those of an algorithm that is no longer there.

    A preset has settings for its own algorithm. Where the command line, or a file that extends the
    preset, names another one, those that the other one does not have are left out.

    Args:
        files: the deepest first; a later one extends an earlier one.
        overrides: of the command line.
        default: the algorithm where nothing names one.
    """
    groups = [*([file] for file in files), overrides]
    settings: dict[str, Any] = {}
    for group in groups:
        above = merged(group)
        former, present = (_named(values, default) for values in (settings, above))
        if any(layer.gives(ALGORITHM_NAME) for layer in group) and former != present:
            settings = _without_settings_of(former, present, settings)
        settings = merged([Layer(settings, {}), Layer(above, {})])
    return settings


def _named(settings: Mapping[str, Any], default: str) -> Any:
    section = settings.get("algorithm")
    return section.get("name", default) if isinstance(section, Mapping) else default


def _without_settings_of(former: Any, present: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    if not (isinstance(former, str) and isinstance(present, str)):
        return dict(settings)  # which is said when the name is validated
    try:
        had, has = (sections_of(name, algorithm_class(name)) for name in (former, present))
    except ValueError:  # as above
        return dict(settings)
    kept = dict(settings)
    for section in had.keys() & settings.keys():
        values = settings[section]
        fields = has[section].model_fields if section in has else {}
        if isinstance(values, Mapping):
            kept[section] = {
                key: value
                for key, value in values.items()
                if key in fields or key not in had[section].model_fields
            }
        if section not in has and not kept[section]:
            del kept[section]
    return kept
