"""Training on the screen: a live table on a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from meta_rl.runs.plain_line import PlainTable, print_line

_NUM_ROWS = 15


@dataclass(frozen=True)
class ProgressColumns:
    """What a row shows, besides the iteration and the time to go.

    Attributes:
        forms: header of the live table, and how a plain line says the same.
        cells: record of ``metrics.jsonl`` -> text of each.
        validation: name of the curve in the record that is told after an evaluation.
        curve: its mean and interval -> text.
    """

    forms: Mapping[str, str]
    cells: Callable[[Mapping[str, Any]], list[str]]
    validation: str
    curve: Callable[[Sequence[float], Sequence[float]], str]


class Progress:
    """Shows each meta-iteration as it ends."""

    def __init__(
        self,
        console: Console,
        num_meta_iterations: int,
        columns: ProgressColumns | None = None,
        *,
        num_completed: int = 0,
    ) -> None:
        """Begins with no row.

        Args:
            console: where to.
            num_meta_iterations: how many there will be in all, for the ETA.
            columns: what a row shows; by default, what matters in reinforcement learning.
            num_completed: meta-iterations of a run that is resumed.
        """
        self._console = console
        self._columns = columns or RL_COLUMNS
        self._forms = {"iteration": "{}", **self._columns.forms, "ETA": "ETA {}"}
        self._num_meta_iterations = num_meta_iterations
        self._rows: deque[list[str]] = deque(maxlen=_NUM_ROWS)
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
            cells = (form.format(x) for form, x in zip(self._forms.values(), row, strict=True))
            print_line(self._console, "  ".join(cells))
        else:
            self._rows.append(row)
            self._live.update(self._table())
        name = self._columns.validation
        if name in record:
            best = "  (best so far)" if record["is_best"] else ""
            curve = self._columns.curve(record[name], record[f"{name}_interval"])
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

    def _row(self, record: Mapping[str, Any]) -> list[str]:
        remaining = self._num_meta_iterations - record["meta_iteration"]
        seconds, num_iterations = (sum(column) for column in zip(*self._pace, strict=True))
        eta = timedelta(seconds=round(remaining * seconds / num_iterations))
        return [
            f"{record['meta_iteration']}/{self._num_meta_iterations}",
            *self._columns.cells(record),
            str(eta),
        ]

    def _table(self) -> PlainTable:
        table = PlainTable(box=None, pad_edge=False)
        for column in self._forms:
            table.add_column(column)
        for row in self._rows:
            table.add_row(*row)
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


def _rl_cells(record: Mapping[str, Any]) -> list[str]:
    seconds = (record[f"seconds_{name}"] for name in ("sampling", "adapting", "updating"))
    outcome = "accepted" if record["accepted"] else f"refused: {record['line_search']}"
    if record["accepted"] and record["num_backtracks"]:
        outcome += f", backtracks: {record['num_backtracks']}"
    return [
        format_returns(record["train_return"], record["train_return_interval"]),
        f"{record['kl']:.4f}",
        outcome,
        f"{record['env_steps_per_second']:,.0f}",
        " | ".join(f"{value:.2f}" for value in seconds),
    ]


def _supervised_cells(record: Mapping[str, Any]) -> list[str]:
    return [
        f"{record['train_loss']:.4f}",
        f"{record['update_norm']:.3g}",
        f"{record['meta_step_size']:.3g}",
        f"{record['iterations_per_second']:,.1f}",
        " | ".join(f"{record[f'seconds_{name}']:.2f}" for name in ("sampling", "updating")),
    ]


RL_COLUMNS = ProgressColumns(
    forms={
        "return before -> after adapting": "{}",
        "KL": "KL {}",
        "step": "{}",
        "env steps/s while sampling": "{} steps/s",
        "s sampling | adapting | updating": "s {}",
    },
    cells=_rl_cells,
    validation="validation_return",
    curve=format_returns,
)
_SUPERVISED_FORMS = {
    "loss after adapting": "loss {}",
    "norm of the update": "norm {}",
    "meta-step": "meta-step {}",
    "updates/s": "{} updates/s",
    "s sampling | updating": "s {}",
}
SINE_COLUMNS = ProgressColumns(_SUPERVISED_FORMS, _supervised_cells, "validation_loss", format_ends)
FEW_SHOT_COLUMNS = ProgressColumns(
    _SUPERVISED_FORMS, _supervised_cells, "validation_accuracy", format_ends
)
