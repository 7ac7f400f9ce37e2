"""Loss and accuracy per adaptation step on the screen."""

from collections.abc import Mapping

from rich.console import Console

from meta_rl.curves.supervised_curve import SupervisedCurve, half_width
from meta_rl.runs.plain_line import PlainTable, print_table

_FIRST_STEPS = 10


def print_supervised_curves(console: Console, curves: Mapping[str, SupervisedCurve]) -> None:
    """A table with a row per adaptation step, a column per initialisation and quantity.

    Args:
        console: where to.
        curves: on the same tasks, by the name of the initialisation.
    """
    table = PlainTable()
    table.add_column("adaptation step", justify="right")
    columns = []
    for name, curve in curves.items():
        for quantity, value in curve.quantities.items():
            table.add_column(f"{quantity}, {name}", justify="right")
            columns.append(list(zip(value.mean(0), half_width(value), strict=True)))
    for step in shown_steps(max(map(len, columns)) - 1):
        cells = (
            "{:.3f} ±{:.3f}".format(*column[step]) if step < len(column) else ""
            for column in columns
        )
        table.add_row(str(step), *cells)
    print_table(console, "On held-out tasks (± 95 % over tasks)", table)


def shown_steps(num_steps: int) -> list[int]:
    """The first ten steps, then every tenth and the last: 50 of them would fill the screen."""
    steps = range(num_steps + 1)
    return [s for s in steps if s <= _FIRST_STEPS or s % _FIRST_STEPS == 0 or s == num_steps]
