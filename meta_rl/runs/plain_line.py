"""Text on the screen, just as it is: names and paths are data, and brackets in them stay."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def plain_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """The console of a command, for which no text is markup: ``speed [m/s]`` keeps its unit.

    No other console is made in this package.

    Args:
        stderr: write to standard error.
        quiet: write nothing.
    """
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False)


def print_line(console: Console, text: str) -> None:
    """Prints text that may hold brackets, numbers and long paths, without rich's ideas of them."""
    console.print(text, soft_wrap=True, highlight=False, markup=False, emoji=False)


def printer(console: Console) -> Callable[[str], None]:
    """What takes a line for the user and prints it."""
    return lambda text: print_line(console, text)


class PlainTable(Table):
    """A table whose headings and cells are text as it is, whatever the console."""

    def add_column(self, header: str, **options: Any) -> None:  # type: ignore[override]
        """Adds a column; rich's options."""
        super().add_column(Text(header), **options)

    def add_row(self, *cells: str) -> None:  # type: ignore[override]
        """Adds a row of text."""
        super().add_row(*map(Text, cells))


def print_table(console: Console, title: str, table: PlainTable) -> None:
    """Prints a table below its title, which may be wider than the table."""
    print_line(console, title)
    console.print(table)
