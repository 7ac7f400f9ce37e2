"""What environments have to say while a command runs: progress and warnings."""

import logging
import os

import typer


def show_environment_notes() -> None:
    """Writes what the package ``envs`` logs to the terminal, line by line."""
    log = logging.getLogger("envs")
    if not any(isinstance(handler, _TerminalLines) for handler in log.handlers):
        log.addHandler(_TerminalLines())
        log.setLevel(logging.INFO)
        log.propagate = False


class _TerminalLines(logging.Handler):
    """One line on stderr for each record."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes it, unless this is not the first of several ranks, which all say the same."""
        if os.environ.get("RANK", "0") == "0":
            mark = "Warning: " if record.levelno >= logging.WARNING else ""
            typer.echo(f"{mark}{record.getMessage()}", err=True)
