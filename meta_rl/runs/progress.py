"""Training on the screen: a live table on a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.live import Live

from meta_rl.runs.plain_line import PlainTable, print_line

_NUM_ROWS = 15


class Cell(NamedTuple):
    """One entry of a row.

    Attributes:
        header: of its column in the live table.
        text: what it says.
        plain: how a plain line says the same.
    """

    header: str
    text: str
    plain: str = "{}"


Shown = Callable[[Mapping[str, Any]], Mapping[str, str]]
"""Record of ``metrics.jsonl`` -> text by header."""


@dataclass(frozen=True)
class RowFormat:
    """What a row shows, besides the iteration and the time to go.

    Attributes:
        cells: record of ``metrics.jsonl`` -> entries.
        validation: name of the curve in the record that is told after an evaluation.
        curve: its mean and interval -> text.
    """

    cells: Callable[[Mapping[str, Any]], Sequence[Cell]]
    validation: str
    curve: Callable[[Sequence[float], Sequence[float]], str]


class Progress:
    """Shows each meta-iteration as it ends."""

    def __init__(
        self,
        console: Console,
        num_meta_iterations: int,
        row_format: RowFormat,
        *,
        num_completed: int = 0,
    ) -> None:
        """Begins with no row.

        Args:
            console: where to.
            num_meta_iterations: how many there will be in all, for the ETA.
            row_format: what a row shows.
            num_completed: meta-iterations of a run that is resumed.
        """
        self._console = console
        self._format = row_format
        self._num_meta_iterations = num_meta_iterations
        self._rows: deque[list[Cell]] = deque(maxlen=_NUM_ROWS)
        # Seconds and iterations between rows.
        self._pace: deque[tuple[float, int]] = deque(maxlen=50)
        self._last_time = time.perf_counter()
        self._last_iteration = num_completed
        self._live = (
            Live(self._table(), console=console, transient=False) if console.is_terminal else None
        )

    def meta_iteration(self, record: Mapping[str, Any]) -> None:
        """Adds the row of one meta-iteration; the record is that of ``metrics.jsonl``."""
        now = time.perf_counter()
        iteration = record["meta_iteration"]
        self._pace.append((now - self._last_time, max(1, iteration - self._last_iteration)))
        self._last_time, self._last_iteration = now, iteration
        row = self._row(record)
        if self._live is None:
            print_line(self._console, "  ".join(cell.plain.format(cell.text) for cell in row))
        else:
            self._rows.append(row)
            self._live.update(self._table())
        name = self._format.validation
        if name in record:
            best = "  (best so far)" if record["is_best"] else ""
            curve = self._format.curve(record[name], record[f"{name}_interval"])
            self.note(f"iteration {record['meta_iteration']}, validation tasks: {curve}{best}")

    def note(self, text: str) -> None:
        """Prints a line, above the table where there is one."""
        print_line(self._console, text)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _row(self, record: Mapping[str, Any]) -> list[Cell]:
        remaining = self._num_meta_iterations - record["meta_iteration"]
        seconds, num_iterations = (sum(column) for column in zip(*self._pace, strict=True))
        eta = timedelta(seconds=round(remaining * seconds / num_iterations))
        return [
            Cell("iteration", f"{record['meta_iteration']}/{self._num_meta_iterations}"),
            *self._format.cells(record),
            Cell("ETA", str(eta), "ETA {}"),
        ]

    def _table(self) -> PlainTable:
        table = PlainTable(box=None, pad_edge=False)
        for index, cell in enumerate(self._rows[-1] if self._rows else ()):
            # The iteration is what a reader looks for: in a narrow terminal, others are wrapped.
            table.add_column(cell.header, no_wrap=index == 0)
        for row in self._rows:
            table.add_row(*(cell.text for cell in row))
        return table


def format_returns(mean: Sequence[float], interval: Sequence[float]) -> str:
    """``-36.3 ±1.2 -> -11.2 ±1.9``, one entry per adaptation step."""
    return " -> ".join(
        f"{value:.2f} ±{half_width:.2f}" for value, half_width in zip(mean, interval, strict=True)
    )


def format_ends(mean: Sequence[float], interval: Sequence[float]) -> str:
    """``0.203 ±0.011 -> 0.981 ±0.004 after 3 steps``: of many steps, the first and the last."""
    ends = [0, -1] if len(mean) > 1 else [0]
    shown = " -> ".join(f"{mean[end]:.3f} ±{interval[end]:.3f}" for end in ends)
    return f"{shown} after {len(mean) - 1} steps"


def seconds_cell(record: Mapping[str, Any], names: Sequence[str]) -> Cell:
    """Seconds of some kinds of work since the last row."""
    texts = (f"{record.get(f'seconds_{name}', 0.0):.2f}" for name in names)
    return Cell(f"s {' | '.join(names)}", " | ".join(texts), "s {}")
