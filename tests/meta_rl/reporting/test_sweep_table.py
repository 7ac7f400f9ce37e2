"""The table over the settings of a sweep, by hand."""

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from meta_rl.curves.adaptation_curve import AdaptationCurve, return_curve
from meta_rl.launch.index import SweepRun
from meta_rl.reporting.shown_steps import shown_steps
from meta_rl.reporting.sweep_table import kept_score, print_sweep_table
from meta_rl.runs.evaluation_table import EvaluationTable


def finished_run(folder: Path, name: str, varied: dict[str, str], returns: list[float]) -> SweepRun:
    """A run whose kept iteration 5 has these returns on one task at steps 0, 1, ..."""
    run = SweepRun(folder, name, varied)
    run.path.mkdir(parents=True)
    (run.path / "best.json").write_text('{"meta_iteration": 5, "score": 0.0}')
    table = EvaluationTable(run.path / "evaluation.csv", ["goal"], ["episode", "episode_return"])
    task, episodes = np.zeros((1, 1)), np.array(returns)[None, :, None]
    table.write(5, "validation", return_curve(task, episodes + 100))
    table.write(0, "test", return_curve(task, episodes - 100))
    both = np.concatenate([episodes - 1, episodes + 1], axis=-1)
    table.write(5, "test", return_curve(task, both))
    table.close()
    return run


def rows(runs: list[SweepRun]) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=200)
    print_sweep_table(console, runs)
    lines = console.file.getvalue().splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_the_kept_iteration_on_the_test_tasks(tmp_path: Path):
    kept = kept_score(finished_run(tmp_path, "a", {}, [-4.0, -2.0]))
    assert (kept.quantity, kept.score.tolist()) == ("episode_return", [[-4.0, -2.0]])


def test_seeds_are_pooled_and_settings_are_not(tmp_path: Path):
    runs = [
        finished_run(
            tmp_path,
            f"s{seed}-k{size}",
            {"run.seed": str(seed), "adaptation.inner_step_size": size},
            [float(size) * 100, value],
        )
        for size in ("0.1", "0.2")
        # The interquartile mean of four leaves out the first and the last: (2 + 4) / 2.
        for seed, value in enumerate((-1000.0, 2.0, 4.0, 1000.0))
    ]
    table = rows(runs)
    assert [row for row in table if row[0]] == [
        ["0.1", "4", "10.00", "3.00"],
        ["0.2", "4", "20.00", "3.00"],
    ]
    low, high = map(float, table[1][3].strip("[]").split(", "))
    assert low < 3 < high
    assert table[1][2] == "[10.00, 10.00]"


def test_one_seed_has_no_interval(tmp_path: Path):
    assert rows([finished_run(tmp_path, "a", {}, [-4.0, -2.0])]) == [["1", "-4.00", "-2.00"]]


def test_curves_of_different_lengths(tmp_path: Path):
    name = "evaluation.num_adaptation_steps"
    short = finished_run(tmp_path, "a", {name: "0"}, [1.0])
    long = finished_run(tmp_path, "b", {name: "1"}, [1.0, 2.0])
    assert rows([short, long]) == [["0", "1", "1.00", ""], ["1", "1", "1.00", "2.00"]]


def test_a_run_without_a_kept_iteration_is_left_out(tmp_path: Path):
    run = SweepRun(tmp_path, "a", {})
    run.path.mkdir(parents=True)
    assert rows([run]) == []


def test_nothing_is_printed_about_nothing():
    assert rows([]) == []


def test_supervised_runs_are_compared_by_what_the_papers_state(tmp_path: Path):
    run = SweepRun(tmp_path, "a", {"sine.shots": "5"})
    run.path.mkdir(parents=True)
    (run.path / "best.json").write_text('{"meta_iteration": 3, "score": 0.0}')
    table = EvaluationTable(
        run.path / "evaluation.csv", ["class"], value_names=("loss", "accuracy")
    )
    accuracy = np.array([[[0.0], [0.5]], [[0.25], [0.75]]])
    quantities = {"loss": np.full((2, 2, 1), 9.0), "accuracy": accuracy}
    table.write(3, "test", AdaptationCurve(np.zeros((2, 1)), quantities))
    table.close()
    assert kept_score(run).quantity == "accuracy"
    assert rows([run]) == [["5", "1", "0.125", "0.625"]]


def test_of_many_steps_some_are_shown():
    assert shown_steps(1) == [0]
    assert shown_steps(6) == [0, 1, 2, 3, 4, 5]
    assert shown_steps(51) == [0, 1, 2, 5, 50]
