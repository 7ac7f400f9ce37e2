"""Which iterations are validated, and which of them a run, or a longer one, keeps."""

from pathlib import Path

import pytest

from meta_rl.runs.best_checkpoint import BestCheckpoint
from meta_rl.runs.earlier_validations import forget_validation, set_validations_aside
from meta_rl.runs.validations import Validations, is_due, restored_validations


def test_the_schedule_and_the_end_are_due():
    assert [i for i in range(1, 8) if is_due(i, 3, 7)] == [3, 6, 7]
    assert [i for i in range(1, 8) if is_due(i, 0, 7)] == [7]
    assert [i for i in range(1, 7) if is_due(i, 3, 6)] == [3, 6]


def test_a_longer_run_forgets_the_validation_of_the_shorter_ones_end():
    at_two = Validations().after(2, -5.0, every=2)
    at_end = at_two.after(3, -1.0, every=2)
    assert at_end.best == BestCheckpoint(3, -1.0)
    assert at_end.end == 3
    assert at_end.needed_checkpoints == {2, 3}
    assert at_end.of_longer_run().best == BestCheckpoint(2, -5.0)
    assert at_end.of_longer_run().last == 0
    assert at_two.of_longer_run() == at_two
    only_end = Validations().after(2, 0.0, every=0)
    assert only_end.of_longer_run() == Validations()


def test_of_equal_scores_the_first_is_kept_and_nan_is_never_better():
    kept = Validations().after(1, 3.0, 1).after(2, 3.0, 1).after(3, float("nan"), 1)
    assert kept.best == BestCheckpoint(1, 3.0)


def test_checkpoints_hold_all_of_it_and_earlier_ones_the_best_alone():
    written = Validations().after(2, -5.0, every=2).after(3, -1.0, every=2)
    assert restored_validations({"validations": written.plain_values()}, 3) == written
    old = restored_validations({"best": {"meta_iteration": 2, "score": -5.0}}, 4)
    assert (old.best, old.last, old.end) == (BestCheckpoint(2, -5.0), 4, None)
    assert restored_validations({"best": None}, 4) == Validations()
    with pytest.raises(KeyError):
        restored_validations({}, 4)


TABLE = """meta_iteration,split,task_index,"a,b",adaptation_step,episode,episode_return
1,validation,0,0.5,0,0,-1.25
2,validation,0,0.5,0,0,-2.5
2,test,0,validation,0,0,-2.5
"""
METRICS = """{"meta_iteration": 1, "validation_return": [1.0], "is_best": true, "kl": 0.1}
{"meta_iteration": 2, "validation_return": [2.0], "is_best": true, "kl": 0.1}
{"meta_iteration": 3, "kl": 0.1}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "evaluation.csv").write_text(TABLE)
    (tmp_path / "metrics.jsonl").write_text(METRICS)
    return tmp_path


def test_one_validation_is_forgotten(run: Path):
    forget_validation(run, 2)
    rows, lines = TABLE.splitlines(), METRICS.splitlines()
    assert (run / "evaluation.csv").read_text().splitlines() == [rows[0], rows[1], rows[3]]
    assert (run / "metrics.jsonl").read_text().splitlines() == [
        *(lines[0], '{"meta_iteration": 2, "kl": 0.1}', lines[2])
    ]


def test_a_line_that_was_written_for_a_validation_goes_with_it(run: Path):
    forget_validation(run, 2, log_every=3)
    lines = METRICS.splitlines()
    assert (run / "metrics.jsonl").read_text().splitlines() == [lines[0], lines[2]]


def test_validations_are_set_aside_once(run: Path):
    (run / "metrics.jsonl").write_text(METRICS + '{"validation_return": tor')
    set_validations_aside(run, 2)
    table = (run / "evaluation.csv").read_text()
    assert table == TABLE.replace(",validation,0,0.5", ",validation_until_2,0,0.5")
    metrics = (run / "metrics.jsonl").read_text()
    expected = METRICS.replace('"validation', '"superseded_validation')
    expected = expected.replace('"is_best', '"superseded_is_best')
    assert metrics == expected + '{"validation_return": tor'
    # The process was killed after it had validated again, and resumes from the same checkpoint.
    (run / "evaluation.csv").write_text(table + "1,validation,0,0.5,0,0,-7.5\n")
    set_validations_aside(run, 2)
    assert (run / "evaluation.csv").read_text() == table
    assert (run / "metrics.jsonl").read_text() == metrics


def test_files_that_are_not_there_are_not_made(tmp_path: Path):
    set_validations_aside(tmp_path, 2)
    forget_validation(tmp_path, 2)
    assert list(tmp_path.iterdir()) == []
