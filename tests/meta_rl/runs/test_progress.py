"""Training on the screen."""

import functools
import io
import re

import pytest
from rich.console import Console

from meta_rl.config import load_config
from meta_rl.problems.registry import make_problem
from meta_rl.runs.progress import Progress, RowFormat, format_returns

RECORD = {
    "meta_iteration": 2,
    "train_return": [-36.3, -11.25],
    "train_return_interval": [1.2, float("nan")],
    "kl": 0.0087,
    "accepted": True,
    "line_search": "accepted",
    "num_backtracks": 0,
    "env_steps_per_second": 12345.6,
    "seconds_sampling": 0.123,
    "seconds_adapting": 1.0,
    "seconds_updating": 2.5,
}
VALIDATION = {
    "validation_return": [-3.0, -2.0, -1.0],
    "validation_return_interval": [0.1, 0.2, 0.3],
    "is_best": True,
}


@functools.cache
def row_format(preset: str) -> RowFormat:
    """What training shows of a preset."""
    with make_problem(load_config(preset, ["run.device=cpu"])) as problem:
        return problem.row_format


def plain(*records: dict, num_meta_iterations: int = 5, num_completed: int = 0) -> list[str]:
    shown = io.StringIO()
    console = Console(file=shown)
    with Progress(
        console, num_meta_iterations, row_format("smoke"), num_completed=num_completed
    ) as progress:
        for record in records:
            progress.meta_iteration(record)
    return shown.getvalue().splitlines()


def test_returns_have_an_interval_per_adaptation_step():
    assert format_returns([-36.3, -11.25], [1.2, 0.5]) == "-36.30 ±1.20 -> -11.25 ±0.50"


def test_a_plain_line_has_all_of_it_and_is_not_broken():
    (line,) = plain(RECORD)
    for part in (
        *("2/5", "-36.30 ±1.20 -> -11.25 ±nan", "KL 0.0087", "accepted", "12,346 steps/s"),
        *("s 0.12 | 1.00 | 2.50", "ETA 0:00:0"),
    ):
        assert part in line
    assert len(line) > 80


def test_a_refused_step_says_why_and_backtracks_are_counted():
    refused = RECORD | {"accepted": False, "line_search": "the KL is too large"}
    assert "refused: the KL is too large" in plain(refused)[0]
    assert "accepted, backtracks: 3" in plain(RECORD | {"num_backtracks": 3})[0]


def test_validation_has_a_line_of_its_own():
    best, not_best = (
        plain(RECORD | VALIDATION | {"is_best": is_best})[1] for is_best in (True, False)
    )
    curve = "-3.00 ±0.10 -> -2.00 ±0.20 -> -1.00 ±0.30"
    assert best == f"iteration 2, validation tasks: {curve}  (best so far)"
    assert not_best == f"iteration 2, validation tasks: {curve}"


def test_the_eta_is_what_remains_at_the_pace_so_far(monkeypatch):
    now = iter([100.0, 110.0, 130.0])
    monkeypatch.setattr("meta_rl.runs.progress.time.perf_counter", lambda: next(now))
    first, second = plain(
        RECORD | {"meta_iteration": 3}, RECORD | {"meta_iteration": 4}, num_completed=2
    )
    assert first.endswith("ETA 0:00:20")  # 2 more of 10 s
    assert second.endswith("ETA 0:00:15")  # 1 more of (10 s + 20 s) / 2


def test_a_terminal_gets_a_live_table_of_the_latest_rows():
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=140, height=50, color_system=None)
    with Progress(console, 40, row_format("smoke")) as progress:
        progress.note("hello [world]")
        for meta_iteration in range(1, 31):
            progress.meta_iteration(RECORD | {"meta_iteration": meta_iteration})
    text = shown.getvalue()
    assert "hello [world]" in text
    last_table = text[text.rindex("iteration ") :]
    assert "env steps/s" in last_table
    rows = [int(row) for row in re.findall(r"(\d+)/40", last_table)]
    assert rows == list(range(16, 31))
    assert "\x1b[" in text, "drawn over itself"


def test_text_in_brackets_is_not_taken_for_a_style():
    shown = io.StringIO()
    Progress(Console(file=shown), 1, row_format("smoke")).note("in runs/[bold]a[/x]")
    assert shown.getvalue() == "in runs/[bold]a[/x]\n"


def test_supervised_rows_stand_for_several_iterations():
    record = {
        "meta_iteration": 100,
        "train_loss": 0.51234,
        "update_norm": 1.5,
        "meta_step_size": 0.001,
        "iterations_per_second": 1234.5,
        "seconds_sampling": 0.25,
        "seconds_updating": 0.5,
        "validation_loss": [3.0, 1.0, 0.5],
        "validation_loss_interval": [0.1, 0.05, 0.025],
        "is_best": False,
    }
    shown, columns = io.StringIO(), row_format("sine")
    clock = iter([0.0, 10.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: next(clock))
        Progress(Console(file=shown, width=200), 300, columns).meta_iteration(record)
    row, validation = shown.getvalue().splitlines()
    # 100 iterations took 10 s: 200 more take 20.
    assert row == (
        "100/300  loss 0.5123  norm 1.5  meta-step 0.001  1,234.5 updates/s  s 0.25 | 0.50  "
        "ETA 0:00:20"
    )
    assert validation == (
        "iteration 100, validation tasks: 3.000 ±0.100 -> 0.500 ±0.025 after 2 steps"
    )
