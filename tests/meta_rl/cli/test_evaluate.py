"""``meta-rl evaluate`` as users meet it: what it writes and prints, and every mistake."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.training.jobs import start_run

CHECKOUT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "meta_rl", "evaluate"]
# Two seeds of a setting, its two trainable references, and an environment of another kind.
SETTINGS = ("run.device=cpu", "rollout.num_threads=1", "run.meta_iterations=2")
RUNS = {
    "one": ["run.seed=1"],
    "two": ["run.seed=2"],
    "pretrained": ["adaptation.num_adaptation_steps=0"],
    "oracle": [
        *("adaptation.num_adaptation_steps=0", "env.observe_task=true"),
        "evaluation.num_adaptation_steps=0",
    ],
    "cheetah": ["env.id=HalfCheetahDir-v0", "rollout.horizon=3"],
}
FILES = {"evaluation.csv", "summary.json", "curve.png", "curve.svg"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder of runs, only to be read."""
    folder = tmp_path_factory.mktemp("runs")
    with single_torch_thread():
        for name, settings in RUNS.items():
            settings = [*SETTINGS, *settings, f"run.dir={folder / name}"]
            start_run(load_config("smoke", settings), "smoke", Console(quiet=True))
    return folder


@pytest.fixture
def evaluate(capsys, monkeypatch, tmp_path):
    """The command in this process and an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with single_torch_thread(), pytest.raises(SystemExit) as ended:
                app(["evaluate", *map(str, arguments)])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    return call


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "evaluation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def assert_one_sentence(result: tuple[int, str, str], *parts: object) -> None:
    code, out, err = result
    assert code == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    for part in parts:
        assert str(part) in err


def assert_nothing_written(folder: Path) -> None:
    assert list(folder.iterdir()) == []


def test_one_run_as_a_process(runs: Path, tmp_path: Path):
    run = tmp_path / "my run"
    shutil.copytree(runs / "one", run)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*COMMAND, str(run)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**environment, "COLUMNS": "80"},
    )
    assert (result.returncode, result.stderr) == (0, "")
    (folder,) = run.glob("evaluation-*")
    assert {file.name for file in folder.iterdir()} == FILES
    # The default tasks are those of the run's own end, and so is every return, bit for bit.
    with (run / "evaluation.csv").open() as file:
        own = [row for row in csv.DictReader(file) if row["split"] == "test"]
    mine = rows_of(folder)
    kept = [row for row in own if row["meta_iteration"] == mine[0]["meta_iteration"]]
    columns = ("task_index", "goal_x", "goal_y", "adaptation_step", "episode", "episode_return")
    assert [[row[c] for c in columns] for row in mine] == [
        [row[c] for c in columns] for row in kept
    ]
    assert {(row["kind"], row["run"], row["seed"]) for row in mine} == {("run", str(run), "1")}
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines if line and line[0] in "┃│") <= 80
    (group,) = summary_of(folder)["groups"]
    for mean, interval in zip(group["mean"], group["interval"], strict=True):
        assert f"{mean:.2f} ±{interval:.2f}" in result.stdout
    assert "of 3 tasks" in result.stdout
    assert "interquartile" not in result.stdout
    assert f"Evaluation: {folder}" in result.stdout


def test_several_runs_beside_every_reference(runs: Path, evaluate, tmp_path: Path):
    references = ["random", f"pretrained={runs / 'pretrained'}", f"oracle={runs / 'oracle'}"]
    code, out, err = evaluate(
        *(runs / "one", runs / "two", "--out", "deep/er", "--num-tasks", 5, "--steps", 2),
        *("--episodes", 3, *(part for r in references for part in ("--reference", r))),
    )
    assert (code, err) == (0, "")
    folder = tmp_path / "deep" / "er"
    assert {file.name for file in folder.iterdir()} == FILES
    summary = summary_of(folder)
    groups = {group["name"]: group for group in summary["groups"]}
    assert list(groups) == ["2 runs", "random", "pretrained", "oracle"]
    assert [group["kind"] for group in groups.values()] == ["run", *["reference"] * 3]
    assert [len(group["mean"]) for group in groups.values()] == [3, 3, 3, 1]
    assert summary["tasks"]["parameters"] == ["goal_x", "goal_y"]
    assert summary["process"]["versions"]["mujoco"]
    two = groups["2 runs"]
    assert [policy["step_sizes"] for policy in two["policies"]] == [[0.5, 0.25]] * 2
    assert groups["random"]["policies"][0]["meta_iteration"] == 0
    assert "interquartile_mean" not in groups["random"]

    rows = rows_of(folder)
    assert len(rows) == 5 * 3 * (2 * 3 + 3 + 3 + 1)
    task_of = {(row["task_index"], row["goal_x"], row["goal_y"]) for row in rows}
    assert len(task_of) == 5, "all policies meet the same tasks"

    def returns(**chosen: str) -> np.ndarray:
        mine = [row for row in rows if chosen.items() <= row.items()]
        return np.array([float(row["episode_return"]) for row in mine])

    # The statistics are those of the table, computed another way.
    for step in range(3):
        both = [
            returns(run=str(runs / name), kind="run", adaptation_step=str(step))
            for name in ("one", "two")
        ]
        per_task = np.mean([x.reshape(5, 3).mean(1) for x in both], axis=0)
        assert two["mean"][step] == pytest.approx(per_task.mean())
        expected = 1.959964 * per_task.std(ddof=1) / np.sqrt(5)
        assert two["interval"][step] == pytest.approx(expected)
        interquartile = two["interquartile_mean"]
        assert interquartile["low"][step] <= interquartile["mean"][step]
        assert f"{interquartile['mean'][step]:.2f} [" in out
    oracle = returns(name="oracle")
    assert groups["oracle"]["mean"] == pytest.approx([oracle.mean()])
    assert two["env_steps_used"] == [0, 30.0, 60.0], "three episodes of ten steps a step"
    losing = [task["num_losing_runs"] for task in two["adapting"]["tasks"]]
    assert two["adapting"]["losing_share"] == pytest.approx(sum(losing) / 10)
    assert f"on {sum(losing)} of 10 pairs of run and task" in out
    assert "stratified bootstrap" in out

    image = np.asarray(Image.open(folder / "curve.png").convert("RGB"))
    assert image.shape[0] > 400
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20, "not blank"
    text = "".join(ET.parse(folder / "curve.svg").getroot().itertext())
    for label in ("2 runs", "random", "pretrained", "oracle", "adaptation steps"):
        assert label in text


def test_a_checkpoint_with_step_sizes_and_a_seed_of_ones_own(runs: Path, evaluate, tmp_path: Path):
    checkpoint = runs / "one" / "checkpoints" / "iteration_000002"
    options = ("--step-size", 0.2, "--later-step-size-ratio", 0.25, "--steps", 3, "--seed", 7)
    for name in ("a", "b"):
        assert evaluate(checkpoint, *options, "--device", "cpu", "--out", name)[0] == 0
    summary = summary_of(tmp_path / "a")
    (policy,) = summary["groups"][0]["policies"]
    assert policy["step_sizes"] == [0.2, 0.05, 0.05]
    assert policy["meta_iteration"] == 2
    assert summary["evaluation_seed"] == 7
    for name in ("evaluation.csv", "curve.png", "curve.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert evaluate(checkpoint, "--seed", 8, "--out", "c")[0] == 0
    assert summary_of(tmp_path / "c")["tasks"] != summary["tasks"]


def test_a_grid(runs: Path, evaluate, tmp_path: Path):
    assert evaluate(runs / "one", "--grid", 3, "--steps", 0, "--out", "grid")[0] == 0
    tasks = summary_of(tmp_path / "grid")["tasks"]["values"]
    assert tasks == [[x, y] for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.0, 0.5)]
    assert evaluate(runs / "cheetah", "--grid", 5, "--steps", 1, "--out", "dir")[0] == 0
    assert summary_of(tmp_path / "dir")["tasks"]["values"] == [[-1.0], [1.0]]


def test_tasks_of_a_file_may_extrapolate(runs: Path, evaluate, tmp_path: Path):
    (tmp_path / "far.csv").write_text("goal_y,goal_x\n0.5,2\n")
    code, out, err = evaluate(runs / "one", "--tasks-file", "far.csv", "--out", "far")
    assert (code, err) == (0, "")
    (warning,) = [line for line in out.splitlines() if line.startswith("Warning: ")]
    assert "1 of 1 tasks lies outside goal_x in [-0.5, 0.5], goal_y in [-0.5, 0.5]" in warning
    assert "extrapolation" in warning
    summary = summary_of(tmp_path / "far")
    assert summary["warnings"] == [warning.removeprefix("Warning: ")]
    assert summary["tasks"] == {
        "source": "the tasks of far.csv",
        "held_out": False,
        "parameters": ["goal_x", "goal_y"],
        "values": [[2.0, 0.5]],
    }
    # One task allows no interval over tasks.
    assert summary["groups"][0]["interval"] == [None] * 4
    assert "nan" not in out


def test_seeds_that_differ_in_more_than_their_seed(runs: Path, evaluate):
    code, out, _ = evaluate(runs / "one", runs / "pretrained", "--steps", 0)
    assert code == 0
    (warning,) = [line for line in out.splitlines() if line.startswith("Warning: ")]
    assert warning.endswith("mixes settings: adaptation.num_adaptation_steps.")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["RUNS/one", "RUNS/cheetah"],
            ["cannot be compared: their env.id is Navigation2D-v0 and"],
        ),
        (["RUNS/one", "--reference", "other=RUNS/cheetah"], ["cannot be compared", "env.id"]),
        (["RUNS/one", "RUNS/one/../one"], ["is named twice"]),
        (["RUNS/one", "--reference", "two"], ["'two' should be NAME=RUN, or random alone"]),
        (["RUNS/one", "--reference", "=two"], ["'=two' should be NAME=RUN"]),
        (
            ["RUNS/one", "--reference", "one=RUNS/two"],
            ["the reference one has the name of the runs"],
        ),
        (["RUNS/one", "--reference", "far=RUNS/none"], ["there is no checkpoint in", "none"]),
        (["RUNS/none"], ["there is no checkpoint in", "none"]),
        (["RUNS/one", "--steps", "-1"], ["evaluation.num_adaptation_steps should be", "-1"]),
        (["RUNS/one", "--num-tasks", "1"], ["evaluation.num_tasks should be", "1"]),
        (["RUNS/one", "--episodes", "1"], ["evaluation.episodes_per_task should be"]),
        (["RUNS/one", "--step-size", "0"], ["adaptation.inner_step_size should be"]),
        (
            ["RUNS/one", "--later-step-size-ratio", "nan"],
            ["adaptation.later_step_size_ratio should be"],
        ),
        (["RUNS/one", "--device", "cudda"], ["run.device should be", "did you mean cuda?"]),
        (["RUNS/one", "--grid", "1"], ["a grid needs at least 2 values"]),
        (["RUNS/one", "--grid", "3", "--num-tasks", "3"], ["choose one of --num-tasks and --grid"]),
        (["RUNS/one", "--tasks-file", "none.csv"], ["none.csv cannot be read"]),
    ],
)
def test_mistakes(runs: Path, evaluate, tmp_path: Path, arguments, parts):
    arguments = [argument.replace("RUNS", str(runs)) for argument in arguments]
    assert_one_sentence(evaluate(*arguments), *parts)
    assert_nothing_written(tmp_path)


def test_a_broken_file_of_tasks(runs: Path, evaluate, tmp_path: Path):
    (tmp_path / "tasks.csv").write_text("goal_x,goal_y\n0.1,0.2\n0.3,here\n")
    result = evaluate(runs / "one", "--tasks-file", "tasks.csv", "--out", "out")
    assert_one_sentence(result, "tasks.csv, line 3, column 2 (goal_y): 'here'")
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.csv"]


def test_a_folder_that_exists_is_not_overwritten(runs: Path, evaluate, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("mine", "file"):
        result = evaluate(runs / "one", "--out", name)
        assert_one_sentence(result, f"{name} exists and is not overwritten")
    assert_one_sentence(evaluate(runs / "one", "--out", "file/er"), "file/er cannot be written")
    assert list((tmp_path / "mine").iterdir()) == []
    assert (tmp_path / "file").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "file"}


def test_a_checkpoint_of_another_policy(runs: Path, evaluate, tmp_path: Path):
    shutil.copytree(runs / "one", tmp_path / "foreign")
    for file in (tmp_path / "foreign" / "checkpoints").glob("*/config.json"):
        config = json.loads(file.read_text())
        config["policy"]["hidden_sizes"] = [17]
        file.write_text(json.dumps(config))
    result = evaluate("foreign", "--out", "out")
    assert_one_sentence(result, "foreign is of another model", "has shape")
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint(runs: Path, evaluate, tmp_path: Path):
    shutil.copytree(runs / "one", tmp_path / "damaged")
    for file in (tmp_path / "damaged" / "checkpoints").glob("*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-7])
    assert_one_sentence(evaluate("damaged"), "model.safetensors is truncated")
    assert not list((tmp_path / "damaged").glob("*evaluation-*"))


def test_a_full_disk_leaves_nothing_behind(runs: Path, tmp_path: Path):
    """No file may grow past 2 kB, which the table does."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [*COMMAND, str(runs / "one"), "--out", "out"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)),
    )
    assert_one_sentence(
        (result.returncode, result.stdout, result.stderr), "out cannot be written: File too large"
    )
    assert_nothing_written(tmp_path)
