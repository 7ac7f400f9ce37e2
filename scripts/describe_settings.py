#!/usr/bin/env python
"""Describes presets and settings, from the files in configs/ and from where settings are declared.

    .venv/bin/python scripts/describe_settings.py

Prints the tables of configs/README.md; scripts/fill_tables.py puts them there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from meta_rl.config import Config, load_config
from meta_rl.config.algorithm import ALGORITHMS, algorithm_class, sections_of
from meta_rl.config.commented import limits_in_words
from meta_rl.config.kinds import section_fields, section_names
from meta_rl.config.schema import RunKind
from meta_rl.config.supervised import FewShotRunConfig, SineRunConfig

CONFIGS = Path(__file__).parents[1] / "configs"
KINDS: Mapping[str, type[RunKind]] = {
    "Reinforcement learning": Config,
    "Sinusoids": SineRunConfig,
    "Few-shot images": FewShotRunConfig,
}
EFFECTS = {
    "problem": "what is learned, and by what; a resumed run cannot change it",
    "numbers": "the numbers of training and the meaning of a validation score",
    "training": "the numbers of training alone",
    "speed": "where and how fast a run computes, and how much of it is kept",
    "labels": "names and places",
}
"""What another value changes, by the word of the tables' last column."""


def main() -> None:
    """Prints both tables."""
    print(presets_table())
    print()
    print(settings_tables())


def presets_table(folder: Path = CONFIGS) -> str:
    """Every preset: its tasks, its algorithm and the comment that its file begins with."""
    lines = ["| preset | tasks | algorithm | what it is |", "|---|---|---|---|"]
    rows = [(preset_tasks(file.stem), file) for file in sorted(folder.glob("*.yaml"))]
    for (tasks, algorithm), file in sorted(rows, key=lambda row: (row[0][0], row[1].stem)):
        lines.append(f"| `{file.stem}` | {tasks} | {algorithm} | {first_comment(file)} |")
    return "\n".join(lines)


def preset_tasks(name: str) -> tuple[str, str]:
    """What a preset learns, and with which algorithm."""
    config = load_config(name)
    if isinstance(config, Config):
        tasks = config.env.id
    elif isinstance(config, FewShotRunConfig):
        tasks = config.few_shot.dataset
    else:
        tasks = config.task_section
    return tasks, config.algorithm.name


def first_comment(file: Path) -> str:
    """The lines of the comment at the beginning of a file, as one."""
    words = []
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    return " ".join(words)


def settings_tables() -> str:
    """A table per section: of each kind of tasks, then of each algorithm."""
    words = [f"*{word}*: {meaning}." for word, meaning in EFFECTS.items()]
    parts = [f"The last column says what another value changes. {' '.join(words)}"]
    shown: dict[type, str] = {}
    for title, kind in KINDS.items():
        sections = {name: kind.model_fields[name].annotation for name in section_names(kind)}
        parts += [f"### {title}", *section_parts(sections, title.lower(), shown)]
    for name in ALGORITHMS:
        sections = dict(sections_of(name, algorithm_class(name)))
        parts += [f"### `algorithm.name={name}`", *section_parts(sections, f"`{name}`", shown)]
    return "\n\n".join(parts)


def section_parts(sections: Mapping[str, Any], owner: str, shown: dict[type, str]) -> list[str]:
    """A lead and a table for each section; what an earlier section has already is not repeated.

    Args:
        sections: classes of settings by the name of their section.
        owner: the kind of tasks or the algorithm that has them.
        shown: the owner of every class that was shown before; these classes are added.
    """
    parts = []
    for name, group in sections.items():
        rows = setting_rows(name, group)
        earlier = next((base for base in group.__mro__ if base in shown), None)
        lead = f"**`{name}`** {group.__doc__.splitlines()[0]}"
        if earlier is not None:
            same = setting_rows(name, earlier)
            rows = {key: row for key, row in rows.items() if same.get(key) != row}
            ending = ", but for:" if rows else "."
            lead += f" As for {shown[earlier]}{ending}"
        parts.append(lead)
        if rows:
            head = "| setting | default | meaning | changes |\n|---|---|---|---|"
            parts.append("\n".join([head, *rows.values()]))
        shown.setdefault(group, owner)
    return parts


def setting_rows(section: str, group: Any) -> dict[str, str]:
    """The rows of a section's table by key."""
    rows = {}
    for key, field in section_fields(group).items():
        default = "required" if field.default is PydanticUndefined else f"`{shown(field.default)}`"
        text = " ".join([field.description, *limits_in_words(field)])
        effect = field.json_schema_extra["effect"]
        assert effect in EFFECTS
        rows[key] = f"| `{section}.{key}` | {default} | {text} | {effect} |"
    return rows


def shown(value: Any) -> str:
    """A default as YAML has it."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


if __name__ == "__main__":
    main()
