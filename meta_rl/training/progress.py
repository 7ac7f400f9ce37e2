"""Training on the screen: a live table on a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

_NUM_ROWS = 15
# Header of the live table, and how a plain line says the same.
_COLUMNS = {
    "iteration": "{}",
    "return before -> after adapting": "{}",
    "KL": "KL {}",
    "step": "{}",
    "env steps/s while sampling": "{} steps/s",
    "s sampling | adapting | updating": "s {}",
    "ETA": "ETA {}",
}


class Progress:
    """Shows each meta-iteration as it ends."""

    def __init__(self, console: Console, num_meta_iterations: int) -> None:
        """``num_meta_iterations``: how many there will be in all, for the ETA."""
        self._console = console
        self._num_meta_iterations = num_meta_iterations
        self._rows: deque[list[str]] = deque(maxlen=_NUM_ROWS)
        self._seconds: deque[float] = deque(maxlen=50)
        self._last_time = time.perf_counter()
        self._live = (
            Live(self._table(), console=console, transient=False) if console.is_terminal else None
        )

    def meta_iteration(self, record: Mapping[str, Any]) -> None:
        """Adds the row of one meta-iteration; the record is that of ``metrics.jsonl``."""
        now = time.perf_counter()
        self._seconds.append(now - self._last_time)
        self._last_time = now
        row = self._row(record)
        if self._live is None:
            cells = (form.format(x) for form, x in zip(_COLUMNS.values(), row, strict=True))
            self._console.print("  ".join(cells), soft_wrap=True, highlight=False)
        else:
            self._rows.append(row)
            self._live.update(self._table())
        if "validation_return" in record:
            best = "  (best so far)" if record["is_best"] else ""
            curve = format_returns(
                record["validation_return"], record["validation_return_interval"]
            )
            self.note(f"iteration {record['meta_iteration']}, validation tasks: {curve}{best}")

    def note(self, text: str) -> None:
        """Prints a line, above the table where there is one."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _row(self, record: Mapping[str, Any]) -> list[str]:
        remaining = self._num_meta_iterations - record["meta_iteration"]
        eta = timedelta(seconds=round(remaining * sum(self._seconds) / len(self._seconds)))
        seconds = (record[f"seconds_{name}"] for name in ("sampling", "adapting", "updating"))
        outcome = "accepted" if record["accepted"] else f"refused: {record['line_search']}"
        if record["accepted"] and record["num_backtracks"]:
            outcome += f", backtracks: {record['num_backtracks']}"
        return [
            f"{record['meta_iteration']}/{self._num_meta_iterations}",
            format_returns(record["train_return"], record["train_return_interval"]),
            f"{record['kl']:.4f}",
            outcome,
            f"{record['env_steps_per_second']:,.0f}",
            " | ".join(f"{value:.2f}" for value in seconds),
            str(eta),
        ]

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in _COLUMNS:
            table.add_column(column)
        for row in self._rows:
            table.add_row(*row)
        return table


def format_returns(mean: Sequence[float], interval: Sequence[float]) -> str:
    """``-36.3 ±1.2 -> -11.2 ±1.9``, one entry per adaptation step."""
    return " -> ".join(
        f"{value:.2f} ±{half_width:.2f}" for value, half_width in zip(mean, interval, strict=True)
    )
