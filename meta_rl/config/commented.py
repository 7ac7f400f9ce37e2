"""All settings with their meaning, as ``--print-config`` shows them."""

import textwrap
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from meta_rl.config.kinds import section_fields, section_names
from meta_rl.config.schema import RunKind
from meta_rl.config.section import MAX_COUNT
from meta_rl.reading import one_line
from meta_rl.reading.numbers import MAX_INTEGER
from meta_rl.reading.yaml_values import to_yaml

_WIDTH = 100


def config_with_comments(config: RunKind) -> str:
    """YAML that ``load_config`` reads back, with meaning, range and choices above each setting."""
    lines = []
    values = config.model_dump(mode="json")
    for section in section_names(type(config)):
        group = type(config).model_fields[section]
        lines.append(f"{section}:" if values[section] else f"{section}: {{}}")
        for key, field in section_fields(group.annotation).items():
            text = " ".join([field.description or "", *_limits(field)]).strip()
            lines += textwrap.wrap(
                one_line(text), _WIDTH, initial_indent="  # ", subsequent_indent="  # "
            )
            lines.append(textwrap.indent(to_yaml({key: values[section][key]}), "  ").rstrip("\n"))
    return "\n".join(lines) + "\n"


def _limits(field: Any) -> list[str]:
    """A sentence about what a setting may be; none where its type says it."""
    parts = _parts(field.annotation)
    choices = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    if choices:
        return [f"One of {', '.join(map(str, choices))}."]
    inner = [info for part in parts for info in getattr(part, "__metadata__", ())]
    words = []
    for limit in [*field.metadata, *(limit for info in inner for limit in info.metadata)]:
        if isinstance(limit, Ge):
            words.append(f"at least {limit.ge}")
        elif isinstance(limit, Gt):
            words.append(f"greater than {limit.gt}")
        elif isinstance(limit, Lt):
            words.append(f"less than {limit.lt}")
        # These two are what can be stored, and of no interest.
        elif isinstance(limit, Le) and limit.le not in (MAX_COUNT, MAX_INTEGER):
            words.append(f"at most {limit.le}")
    return [f"{' and '.join(words).capitalize()}."] if words else []


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, the type of a list's entries, or the type itself."""
    inner = () if get_origin(annotation) is Literal else get_args(annotation)
    return inner or (annotation,)
