"""``evaluation.csv``: one row per episode, and after a resume as if nothing had happened."""

import csv
from pathlib import Path

import numpy as np
import pytest

from meta_rl.curves.adaptation_curve import return_curve
from meta_rl.runs.evaluation_table import (
    EvaluationTable,
    EvaluationTableError,
    read_test_curves,
)

NAMES, VALUES = ["goal_x", "goal_y"], ["episode", "episode_return"]
TASK = np.array([[0.1, -0.2], [0.3, 0.4]])
EPISODE_RETURN = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2) / 8


def write(path: Path, meta_iterations: list[int], resume_from: int = 0) -> None:
    table = EvaluationTable(path, NAMES, VALUES, resume_from)
    for meta_iteration in meta_iterations:
        table.write(
            meta_iteration, "validation", return_curve(TASK, EPISODE_RETURN - meta_iteration)
        )
    table.close()


def test_each_episode_is_a_row(tmp_path: Path):
    path = tmp_path / "evaluation.csv"
    table = EvaluationTable(path, NAMES, VALUES)
    table.write(20, "test", return_curve(TASK, EPISODE_RETURN))
    with path.open() as file:
        header, *rows = csv.reader(file)
    table.close()
    assert header == [
        *("meta_iteration", "split", "task_index", "goal_x", "goal_y"),
        *("adaptation_step", "episode", "episode_return"),
    ]
    assert len(rows) == 12
    assert rows[0] == ["20", "test", "0", "0.1", "-0.2", "0", "0", "0.0"]
    # Task 1, adaptation step 2, episode 0 is entry 6 + 4 + 0 = 10, of which an eighth is 1.25.
    assert rows[10] == ["20", "test", "1", "0.3", "0.4", "2", "0", "1.25"]


@pytest.mark.parametrize(
    "torn", ["", "40,test,0", "2", "20,test,0,0.1,-0.2,0,0,-20.", "20,validation\n", "x\n"]
)
def test_a_resumed_table_equals_an_uninterrupted_one(tmp_path: Path, torn: str):
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    write(whole, [0, 20, 40, 100])
    write(resumed, [0, 20, 40])
    with resumed.open("a") as file:
        file.write(torn)
    write(resumed, [40, 100], resume_from=39)
    assert resumed.read_text() == whole.read_text()


def test_a_run_that_had_ended_and_goes_on_reports_test_tasks_once(tmp_path: Path):
    path = tmp_path / "evaluation.csv"
    for resume_from in (0, 2):
        table = EvaluationTable(path, NAMES, VALUES, resume_from)
        table.write(resume_from + 2, "validation", return_curve(TASK, EPISODE_RETURN))
        table.write(0, "test", return_curve(TASK, EPISODE_RETURN))
        table.close()
    with path.open() as file:
        rows = [(row["meta_iteration"], row["split"]) for row in csv.DictReader(file)]
    per_evaluation = EPISODE_RETURN.size
    assert rows == [
        *[("2", "validation")] * per_evaluation,
        *[("4", "validation")] * per_evaluation,
        *[("0", "test")] * per_evaluation,
    ]


def test_a_table_that_lost_even_its_header_gets_one(tmp_path: Path):
    path = tmp_path / "evaluation.csv"
    path.write_text("meta_iter")
    write(path, [20], resume_from=10)
    whole = tmp_path / "whole.csv"
    write(whole, [20])
    assert path.read_text() == whole.read_text()


def test_test_curves_are_read_back(tmp_path: Path):
    path = tmp_path / "evaluation.csv"
    table = EvaluationTable(path, NAMES, VALUES)
    table.write(20, "validation", return_curve(TASK, EPISODE_RETURN))
    assert read_test_curves(path) == {}
    table.write(20, "test", return_curve(TASK, EPISODE_RETURN))
    table.write(0, "test", return_curve(TASK, EPISODE_RETURN - 1))
    table.close()
    curves = read_test_curves(path)
    assert list(curves) == [0, 20]
    for meta_iteration, expected in ((20, EPISODE_RETURN), (0, EPISODE_RETURN - 1)):
        np.testing.assert_array_equal(curves[meta_iteration].task, TASK)
        np.testing.assert_array_equal(curves[meta_iteration].value, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "line 1: this is not the header of a run's"),
        (lambda text: text.replace("split", "set", 1), "line 1: this is not the header"),
        (lambda text: text[:-8], "line 13: there are 7 columns, not 8"),
        (lambda text: text.replace("0.125", "x", 1), "line 3: 'x' is not a finite number"),
        (lambda text: text.replace("20,test", "?,test", 1), "line 2: '?' is not an integer"),
        (lambda text: text + "\0\n", "line 14: there are 1 columns"),
    ],
)
def test_a_table_that_is_broken_names_the_line(tmp_path: Path, change, message):
    path = tmp_path / "evaluation.csv"
    table = EvaluationTable(path, NAMES, VALUES)
    table.write(20, "test", return_curve(TASK, EPISODE_RETURN))
    table.close()
    path.write_text(change(path.read_text()))
    with pytest.raises(EvaluationTableError) as error:
        read_test_curves(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_table_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(EvaluationTableError, match="cannot be read: No such file"):
        read_test_curves(tmp_path / "evaluation.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(EvaluationTableError, match="not a CSV file in UTF-8"):
        read_test_curves(tmp_path / "bytes.csv")
