"""Runs that come with the package: what they hold, and commands that name them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl.cli import app
from meta_rl.config import load_config, preset_names
from meta_rl.evaluation.evaluation_job import evaluation_folder
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.packaged_runs import (
    PACKAGED_RUNS,
    find_run,
    is_packaged,
    packaged_names,
)
from meta_rl.evaluation.saved_model import load_model, with_settings
from meta_rl.runs.best_checkpoint import CheckpointError, checkpoint_path, read_best
from meta_rl.runs.checkpoint import load_checkpoint

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def packager():
    file = CHECKOUT / "scripts" / "package_checkpoint.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def meta_rl(*arguments: str, cwd: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "meta_rl", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_there_are_some():
    assert {"navigation", "half_cheetah_vel", "sine"} <= set(packaged_names())


@pytest.mark.parametrize("name", packaged_names())
def test_each_is_small_whole_and_says_where_it_is_from(name: str, packager):
    path = PACKAGED_RUNS / name
    files = [file for file in path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < packager.MAX_BYTES
    checkpoint = load_checkpoint(checkpoint_path(path, read_best(path).meta_iteration))
    assert all(value.dtype == torch.float32 for value in checkpoint.params.values())
    assert checkpoint.config == packager.without_machine(checkpoint.config)
    assert checkpoint.config == load_config(str(path / "config.yaml"))
    facts = json.loads((path / "run.json").read_text())
    assert facts["git"]["commit"]
    assert facts["seed"] == checkpoint.config.run.seed
    assert facts["meta_iteration"] == checkpoint.meta_iteration
    assert name in preset_names()


def test_the_returns_that_it_claims_are_those_that_it_reaches():
    saved = load_model(find_run(Path("pretrained/navigation")))
    one_thread = {"rollout.num_threads": 1, "run.device": "cpu"}
    curve = evaluate_model(with_settings(saved, one_thread, "test")).curve
    claimed = json.loads((PACKAGED_RUNS / "navigation" / "run.json").read_text())
    # Another processor rounds otherwise, and an episode magnifies that.
    np.testing.assert_allclose(curve.mean, claimed["test_episode_return"], rtol=0.02)


def test_evaluate_and_visualize_by_name_write_into_the_current_folder(tmp_path: Path):
    before = contents(PACKAGED_RUNS)
    small = ("pretrained/navigation", "--steps", "1", "--num-tasks", "2")
    out = meta_rl("evaluate", *small, "--episodes", "3", cwd=tmp_path)
    assert "navigation" in out
    meta_rl("visualize", *small, "--no-video", cwd=tmp_path)
    evaluated, drawn = sorted(tmp_path.iterdir())
    assert evaluated.name.startswith("evaluation-")
    assert (evaluated / "summary.json").is_file()
    assert drawn.name.startswith("visualize-")
    assert (drawn / "trajectories.png").is_file()
    assert contents(PACKAGED_RUNS) == before


def test_a_supervised_one_is_drawn_and_a_report_is_made(elsewhere: Path):
    before = contents(PACKAGED_RUNS)
    app(["visualize", "pretrained/sine", "--steps", "1", "--num-tasks", "1"], standalone_mode=False)
    app(
        ["report", "pretrained/navigation", "--num-tasks", "2", "--steps", "1"],
        standalone_mode=False,
    )
    page = (elsewhere / "report.html").read_text()
    assert "has completed" not in page
    assert "cannot be read" not in page
    assert [path.name[:10] for path in sorted(elsewhere.iterdir())] == ["report.htm", "visualize-"]
    assert contents(PACKAGED_RUNS) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "pretrained/navigatoin"],
        ["evaluate", "pretrained/navigation", "--reference", "other=pretrained/navigatoin"],
        ["visualize", "pretrained/navigatoin"],
        ["report", "pretrained/navigatoin"],
    ],
)
def test_an_unknown_name_lists_those_that_exist(
    arguments: list[str], elsewhere: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as caught:
        app(arguments, standalone_mode=False)
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: there is no pretrained/navigatoin; with the package come ")
    assert "pretrained/navigation" in error
    assert error.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


def test_a_folder_of_the_user_comes_first(elsewhere: Path):
    assert find_run(Path("pretrained/navigation")) == PACKAGED_RUNS / "navigation"
    mine = Path("pretrained/navigation")
    mine.mkdir(parents=True)
    assert find_run(mine) == mine
    assert not is_packaged(mine)
    assert evaluation_folder([mine]).parent == Path()
    assert find_run(Path("runs/navigation")) == Path("runs/navigation")


def test_what_is_packaged_again_is_the_same_and_replaces_it(packager, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    source = PACKAGED_RUNS / "navigation"
    for file in source.rglob("*"):
        if file.is_file():
            copy = run / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    best = read_best(run).meta_iteration
    with pytest.raises(CheckpointError, match="is not a finished run"):
        packager.package(run, "again", tmp_path)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"finish_time": "now"}))
    header = "meta_iteration,split,task_index,goal_x,goal_y,adaptation_step,episode,episode_return"
    rows = [f"{best},test,{task},0,0,0,0,{-task}" for task in range(2)]
    (run / "evaluation.csv").write_text("\n".join([header, *rows, ""]))
    for _ in range(2):
        packaged = packager.package(run, "again", tmp_path)
    model = f"checkpoints/iteration_{best:06d}/model.safetensors"
    assert (packaged / model).read_bytes() == (source / model).read_bytes()
    assert json.loads((packaged / "run.json").read_text())["test_episode_return"] == [-0.5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "run"]
    packager.MAX_BYTES, limit = 10_000, packager.MAX_BYTES
    with pytest.raises(CheckpointError, match="bytes, more than 10,000"):
        packager.package(run, "again", tmp_path)
    packager.MAX_BYTES = limit
    assert (packaged / model).is_file()
