"""The commands. Nothing heavy is imported before a command needs it."""

import sys
from pathlib import Path

import typer

from meta_rl.cli.evaluate import evaluate
from meta_rl.cli.report import report
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
app.command()(evaluate)
app.command()(report)
app.command()(sweep)
app.command()(visualize)


@app.callback()
def _commands() -> None:
    """Meta-train policies that adapt to a new task within a few episodes."""


def main() -> None:
    """Entry point of ``meta-rl`` and ``python -m meta_rl``."""
    # As ``python -m`` does, so that env.id=my_module:MyEnv-v0 finds a module in this folder.
    if not {"", str(Path.cwd())}.intersection(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    app()
