"""Options that several commands declare alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN",
        help="A run directory, a checkpoint, a sweep, pretrained/NAME, or several seeds of "
        "one setting; on supervised tasks, several methods.",
        show_default=False,
    ),
]
NumTasks = Annotated[
    int | None, typer.Option(help="How many test tasks are drawn.", show_default=False)
]
Steps = Annotated[
    int | None, typer.Option(help="Adaptation steps on each task.", show_default=False)
]
Seed = Annotated[int | None, typer.Option(help="Of the tasks and episodes.", show_default=False)]
Device = Annotated[
    str | None,
    typer.Option(metavar="auto|cpu|cuda", help="Where tensors live.", show_default=False),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=RUN",
        help="Another run to show beside, with its own step sizes; 'random' alone is the "
        "first run before training. May be repeated.",
        show_default=False,
    ),
]


def given_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, by dotted name, that a user has given by options."""
    return {name: value for name, value in options.items() if value is not None}
