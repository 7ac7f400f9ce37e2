#!/usr/bin/env python
"""Puts every table that a script makes into its page, between the marks that bear its name.

    .venv/bin/python scripts/fill_tables.py
    .venv/bin/python scripts/fill_tables.py --check

Nothing is measured: tables come from the files in scripts/results/, from the presets and from where
settings are declared. tests/test_readme.py fails where a page does not say what its table says.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Table(NamedTuple):
    """Where a table goes, and what makes it.

    Attributes:
        page: path of the page, from the root.
        module: a module of scripts/.
        function: its function without arguments that returns Markdown.
    """

    page: str
    module: str
    function: str = "table"


RESULTS = "scripts/results/README.md"
TABLES = {
    "summary": Table("README.md", "summary_table"),
    "results": Table(RESULTS, "reproduce_maml_rl"),
    "bandit": Table(RESULTS, "bandit_total"),
    "choices": Table(RESULTS, "measure_choices"),
    "supervised": Table(RESULTS, "reproduce_supervised"),
    "benchmark": Table(RESULTS, "benchmark"),
    "gpu": Table(RESULTS, "gpu_check.table"),
    "supervised benchmark": Table(RESULTS, "benchmark_supervised"),
    "ranks": Table(RESULTS, "benchmark_ranks"),
    "presets": Table("configs/README.md", "describe_settings", "presets_table"),
    "settings": Table("configs/README.md", "describe_settings", "settings_tables"),
}


def made(name: str) -> str:
    """The table as its script makes it now."""
    table = TABLES[name]
    text: str = getattr(importlib.import_module(table.module), table.function)()
    return text


def on_page(name: str) -> str:
    """The table as its page has it."""
    return _parts(name)[1].strip("\n")


def fill(name: str) -> None:
    """Replaces the table on its page."""
    before, _, after = _parts(name)
    (ROOT / TABLES[name].page).write_text(f"{before}\n\n{made(name)}\n\n{after}")


def _parts(name: str) -> tuple[str, str, str]:
    """The page up to the first mark and with it, the table, and the rest from the last mark on."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = (ROOT / TABLES[name].page).read_text().partition(begin)
    table, found_end, after = rest.partition(end)
    assert found and found_end, f"{TABLES[name].page} lacks {begin} or {end}"
    return before + begin, table, end + after


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}; or all")
    parser.add_argument("--check", action="store_true", help="change nothing, name what would be")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in TABLES]
    if unknown:
        parser.error(f"there is no table called {unknown[0]}")
    stale = [name for name in arguments.names or TABLES if on_page(name) != made(name)]
    for name in stale:
        print(f"{TABLES[name].page}: {name}")
        if not arguments.check:
            fill(name)
    if arguments.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
