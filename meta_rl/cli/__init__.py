"""The commands. Nothing heavy is imported before a command needs it."""

from typing import Annotated

import typer

from meta_rl import __version__
from meta_rl.cli.check import check
from meta_rl.cli.environment_notes import show_environment_notes
from meta_rl.cli.evaluate import evaluate
from meta_rl.cli.report import report
from meta_rl.cli.search_path import current_folder_last, say_foreign_envs
from meta_rl.cli.sweep import sweep
from meta_rl.cli.train import train
from meta_rl.cli.visualize import visualize

app = typer.Typer(
    name="meta-rl",
    help="Meta-train policies that adapt to a new task within a few episodes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command()(check)
app.command()(evaluate)
app.command()(report)
app.command()(sweep)
app.command()(visualize)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"meta-rl {__version__}")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Meta-train policies that adapt to a new task within a few episodes."""
    del version
    show_environment_notes()


def main() -> None:
    """Entry point of ``meta-rl`` and ``python -m meta_rl``."""
    current_folder_last()
    say_foreign_envs()
    app()
