"""Names, units and paths on the screen: brackets, colons and dollar signs are only characters."""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from rich.console import Console
from rich.live import Live

from meta_rl.reporting.plain_text import plain_text
from meta_rl.runs.plain_line import PlainTable, plain_console, print_line, print_table

PACKAGE = Path(__file__).parents[4] / "meta_rl"
NAMES = ["speed [m/s]", "[bold]x[/bold]", "[/red]", "run :smile:", "a\\[b]", "[link=x]y[/link]"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_table_is_markup_on_any_console(name):
    shown = io.StringIO()
    for console in (Console(file=shown, width=200), Console(file=shown, width=200, markup=True)):
        table = PlainTable()
        table.add_column(f"heading {name}", justify="right")
        table.add_row(f"cell {name}")
        print_table(console, f"title {name}", table)
        print_line(console, f"line {name}")
    for part in ("title", "heading", "cell", "line"):
        assert shown.getvalue().count(f"{part} {name}") == 2


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_a_command_prints_is_markup(name, capsys):
    console = plain_console()
    console.print(name)
    with Live(name, console=console, auto_refresh=False):
        pass
    assert capsys.readouterr().out.splitlines() == [name, name]


def test_no_other_console_and_no_other_table_is_made():
    for file in PACKAGE.rglob("*.py"):
        if file.name != "plain_line.py":
            text = file.read_text()
            assert " Console(" not in text.replace("=", " "), file
            assert "rich.table" not in text, file


@pytest.mark.parametrize("name", ["cost [$], price [$]", "a $x$ b", "_hidden", "$", "speed [m/s]"])
def test_names_in_pictures_are_text(name):
    figure, axes = plt.subplots()
    axes.plot([0, 1], label=plain_text(name))
    axes.set_title(plain_text(name))
    legend = axes.legend()
    figure.canvas.draw()
    picture = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none"}):
        figure.savefig(picture, format="svg")
    plt.close(figure)
    assert len(legend.get_texts()) == 1
    assert picture.getvalue().count(f"{name}</text>") == 2
