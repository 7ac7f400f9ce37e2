"""The runs of a sweep on the screen: a live table on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from meta_rl.launch.scheduler import RunState, WatchedRun
from meta_rl.runs.plain_line import PlainTable, print_line

_LINE_EVERY_S = 60.0
# What is shown first where not everything fits.
_ORDER: tuple[RunState, ...] = ("running", "failed", "stopped", "waiting", "finished")
# Rows that are not runs: the header, the summary, and the line of the cursor.
_OTHER_ROWS = 4


class SweepProgress:
    """One line for each run."""

    def __init__(self, console: Console, watched: Sequence[WatchedRun]) -> None:
        """Takes the runs as they are; ``show`` tells what has changed."""
        self._console = console
        self._watched = watched
        self._states: list[RunState] = [entry.state for entry in watched]
        self._obstacles = [""] * len(watched)
        self._last_line = [time.monotonic()] * len(watched)
        self._live = (
            Live(self._table(), console=console, auto_refresh=False)
            if console.is_terminal
            else None
        )

    def show(self) -> None:
        """Shows the runs as they are now."""
        for index, entry in enumerate(self._watched):
            changed = entry.state != self._states[index]
            self._states[index] = entry.state
            if entry.obstacle and entry.obstacle != self._obstacles[index]:
                self.note(f"{entry.run.name}: waiting, since {entry.obstacle}")
            self._obstacles[index] = entry.obstacle
            now = time.monotonic()
            due = entry.state == "running" and now - self._last_line[index] >= _LINE_EVERY_S
            if changed and entry.state == "failed":
                self.note(f"{entry.run.name}: failed: {entry.error} [log: {entry.run.log_file}]")
            elif self._live is None and (changed or due):
                self._last_line[index] = now
                self.note(f"{entry.run.name}: {', '.join(filter(None, describe(entry)))}")
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

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

    def _table(self) -> Group:
        table = PlainTable(box=None, pad_edge=False)
        for column in ("run", "state", "iteration", "return or loss", "ETA"):
            table.add_column(column)
        num_rows = max(1, self._console.height - _OTHER_ROWS)
        shown = self._watched
        if len(shown) > num_rows:
            shown = sorted(shown, key=lambda entry: _ORDER.index(entry.state))[:num_rows]
        for entry in shown:
            table.add_row(entry.run.name, *describe(entry))
        return Group(table, Text(summary(self._watched)))


def describe(entry: WatchedRun) -> tuple[str, str, str, str]:
    """State, iteration, last return or loss and time left of a run; empty where there is none."""
    status = entry.status
    remaining = entry.num_meta_iterations - status.meta_iteration
    eta = ""
    if entry.state == "running" and status.seconds_per_iteration is not None:
        eta = f"ETA {timedelta(seconds=round(remaining * status.seconds_per_iteration))}"
    return (
        entry.state,
        f"{status.meta_iteration}/{entry.num_meta_iterations}" if status.meta_iteration else "",
        "" if status.last_value is None else f"{status.quantity} {status.last_value:.4g}",
        eta,
    )


def summary(watched: Sequence[WatchedRun]) -> str:
    """How many runs are in each state: ``4 runs: 2 running, 2 waiting``."""
    counts = Counter(entry.state for entry in watched)
    parts = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    return f"{len(watched)} {'run' if len(watched) == 1 else 'runs'}: {parts}"
