"""The folder of a sweep: made whole, never changed into another, and standing for its runs."""

import json
from pathlib import Path

import pytest

from meta_rl.config import load_config
from meta_rl.launch.index import (
    SweepError,
    create_sweep,
    read_sweep,
    run_directories,
)
from meta_rl.launch.plan import make_plan

PLAN = make_plan("smoke", ["run.seed=1..2"])


def contents(path: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def begin(run: Path) -> None:
    (run / "checkpoints" / "iteration_000000").mkdir(parents=True)


def test_a_sweep_is_read_as_it_was_made(tmp_path: Path):
    path = tmp_path / "deep" / "sweep"
    runs = create_sweep(path, PLAN)
    assert read_sweep(path) == runs
    assert [run.name for run in runs] == ["seed1", "seed2"]
    assert load_config(str(runs[1].settings_file)) == PLAN.runs[1].config
    assert [entry.name for entry in path.parent.iterdir()] == ["sweep"]


def test_the_same_sweep_is_found_again_and_not_touched(tmp_path: Path):
    path = tmp_path / "sweep"
    runs = create_sweep(path, PLAN)
    before = contents(path)
    assert create_sweep(path, PLAN) == runs
    assert contents(path) == before


def test_a_sweep_may_grow(tmp_path: Path):
    path = tmp_path / "sweep"
    create_sweep(path, PLAN)
    grown = make_plan("smoke", ["run.seed=1..4"])
    assert len(create_sweep(path, grown)) == 4
    assert [run.name for run in read_sweep(path)] == ["seed1", "seed2", "seed3", "seed4"]
    with pytest.raises(SweepError, match="another sweep, with a run seed3"):
        create_sweep(path, PLAN)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run.seed=1..2", "rollout.horizon=7"], "with other settings than these"),
        (["run.seed=2..3"], "another sweep, with a run seed1"),
        ([], "another sweep"),
    ],
)
def test_another_sweep_is_refused_and_nothing_lost(tmp_path: Path, arguments, part):
    path = tmp_path / "sweep"
    create_sweep(path, PLAN)
    before = contents(path)
    with pytest.raises(SweepError, match=part):
        create_sweep(path, make_plan("smoke", arguments))
    assert contents(path) == before


def test_somebody_elses_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SweepError, match="is not a sweep"):
        create_sweep(tmp_path, PLAN)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with pytest.raises(SweepError, match="cannot be written"):
        create_sweep(tmp_path / "file" / "sweep", PLAN)


def test_an_empty_folder_will_do(tmp_path: Path):
    (tmp_path / "sweep").mkdir()
    create_sweep(tmp_path / "sweep", PLAN)
    assert len(read_sweep(tmp_path / "sweep")) == 2


def test_what_a_process_that_was_killed_has_left_does_not_matter(tmp_path: Path):
    (tmp_path / ".sweep.tmp" / "settings").mkdir(parents=True)
    create_sweep(tmp_path / "sweep", PLAN)
    assert [entry.name for entry in tmp_path.iterdir()] == ["sweep"]


def test_a_sweep_stands_for_the_runs_that_have_begun(tmp_path: Path):
    path = tmp_path / "sweep"
    runs = create_sweep(path, PLAN)
    with pytest.raises(SweepError, match="none of the runs"):
        run_directories(path)
    begin(runs[1].path)
    assert run_directories(path) == [runs[1].path]
    begin(runs[0].path)
    assert run_directories(path) == [runs[0].path, runs[1].path]
    assert run_directories(runs[0].path) == [runs[0].path]


@pytest.mark.parametrize(
    "index", ["", "[]", "{}", '{"runs": 1}', '{"runs": {"../x": {}}}', '{"runs": {"x": 1}}']
)
def test_a_damaged_index(tmp_path: Path, index: str):
    create_sweep(tmp_path / "sweep", PLAN)
    (tmp_path / "sweep" / "sweep.json").write_text(index)
    with pytest.raises(SweepError, match="is damaged"):
        run_directories(tmp_path / "sweep")


def test_the_index_is_plain(tmp_path: Path):
    create_sweep(tmp_path / "sweep", PLAN)
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text()) == {
        "config": "smoke",
        "arguments": ["run.seed=1..2"],
        "runs": {"seed1": {"run.seed": "1"}, "seed2": {"run.seed": "2"}},
    }
