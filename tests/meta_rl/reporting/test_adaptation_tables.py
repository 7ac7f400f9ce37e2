"""Adaptation on the screen."""

import io
import re

import numpy as np
from rich.console import Console

from meta_rl.curves.adaptation_curve import AdaptationCurve, return_curve
from meta_rl.evaluation.evaluation_summary import TaskGains, task_gains
from meta_rl.reporting.adaptation_tables import (
    losing_sentence,
    print_adaptation_curves,
    print_tasks,
)


def test_any_number_of_adaptation_steps_fits_into_eighty_columns():
    generator = np.random.default_rng(0)
    curves = {
        name: return_curve(np.zeros((5, 1)), generator.normal(-1000, 300, size=(5, 13, 4)))
        for name in ("untrained", "iteration 1000")
    }
    shown = io.StringIO()
    print_adaptation_curves(Console(file=shown, width=80), curves, "tasks")
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "untrained" in shown.getvalue()
    assert "iteration 1000" in shown.getvalue()
    for step in range(13):
        (row,) = [line for line in lines if re.match(rf"│ +{step} │", line)]
        for curve in curves.values():
            assert f"{curve.mean[step]:.2f} ±{curve.interval[step]:.2f}" in row


def gains_of(before: list[float], after: list[float]) -> TaskGains:
    """Tasks of one run, called by their index, whose episodes lie .1 around their means."""
    ends = np.array([before, after]).T[..., None] + np.array([-0.1, 0.1])
    return task_gains([return_curve(np.arange(len(before), dtype=float)[:, None], ends)])


def test_the_tasks_that_lose_are_named_beside_the_best_and_the_worst():
    before = [float(i) for i in range(20)]
    after = [value + 5 for value in before]
    after[10], after[12] = 8.0, 11.95  # two that lose, the second within its interval
    lines = shown_tasks(gains_of(before, after))
    assert lines == {
        **{19: "best", 18: "best", 17: "best"},
        **{12: "loses, within interval", 10: "loses"},
        **{2: "worst", 1: "worst", 0: "worst"},
    }


def test_of_many_tasks_that_lose_the_ten_greatest_losses_are_shown():
    before = [100.0] * 40
    after = [100.0 - i for i in range(40)]
    lines = shown_tasks(gains_of(before, after))
    assert list(lines) == [0, 1, 2, *range(30, 40)]
    assert lines[39] == "worst, loses"


def test_few_tasks_are_shown_all():
    assert shown_tasks(gains_of([0.0] * 4, [4.0, 6.0, -5.0, 5.0])) == {
        **{1: "best", 3: "", 0: "", 2: "worst, loses"},
    }
    assert shown_tasks(gains_of([0.0], [4.0])) == {0: "best"}


def shown_tasks(gains: TaskGains) -> dict[int, str]:
    """Notes by task, from top to bottom."""
    shown = io.StringIO()
    print_tasks(Console(file=shown, width=80), gains, ["index"])
    lines = [line for line in shown.getvalue().splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    return {int(row[0]): row[-1] for row in cells}


def test_the_share_of_tasks_that_lose():
    gains = gains_of([0.0, 0.0, 0.0, 0.0], [1.0, -0.05, -2.0, 1.0])
    assert losing_sentence(gains) == (
        "Adapting loses return on 2 of 4 tasks (50.0%), on 1 of them by more than the 95 % "
        "interval of the loss."
    )


def test_a_policy_with_fewer_steps_leaves_cells_empty():
    generator = np.random.default_rng(0)
    curves = {
        name: return_curve(np.zeros((5, 1)), generator.normal(size=(5, num_steps + 1, 4)))
        for name, num_steps in (("run", 2), ("oracle", 0))
    }
    shown = io.StringIO()
    print_adaptation_curves(Console(file=shown, width=80), curves, "tasks")
    rows = [line.split("│")[1:-1] for line in shown.getvalue().splitlines() if line[:1] == "│"]
    assert [bool(row[-1].strip()) for row in rows] == [True, False, False]


def test_losses_and_accuracies_have_columns_of_their_own_and_of_many_steps_some_are_shown():
    quantities = {"loss": np.ones((2, 51, 1)), "accuracy": np.full((2, 51, 1), 0.25)}
    curve = AdaptationCurve(np.zeros((2, 1)), quantities)
    shown = io.StringIO()
    print_adaptation_curves(Console(file=shown, width=80), {"run": curve}, "held-out tasks")
    lines = shown.getvalue().splitlines()
    assert lines[0] == "On held-out tasks (± 95 % over tasks)"
    assert "loss, run" in lines[2] and "accuracy, run" in lines[2]
    rows = [line.split("│")[1:-1] for line in lines if line[:1] == "│"]
    assert [int(row[0]) for row in rows] == [*range(21), 30, 40, 50]
    assert [cell.strip() for cell in rows[-1][1:]] == ["1.000 ±0.000", "0.250 ±0.000"]
