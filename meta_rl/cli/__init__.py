"""The commands. Nothing heavy is imported before a command needs it."""

import typer

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


@app.callback()
def _commands() -> None:
    """Meta-train policies that adapt to a new task within a few episodes."""
    show_environment_notes()


def main() -> None:
    """Entry point of ``meta-rl`` and ``python -m meta_rl``."""
    current_folder_last()
    say_foreign_envs()
    app()
