"""``meta-rl report`` as users meet it: the file it writes, and every mistake."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.evaluation.evaluation_summary import (
    interquartile_means,
    mean_curve,
    task_gains,
)
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import load_model
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.training.jobs import start_run

CHECKOUT = Path(__file__).parents[3]
SETTINGS = ("run.device=cpu", "rollout.num_threads=1", "run.meta_iterations=2")
RUNS = {
    "one": ["run.seed=1"],
    "two": ["run.seed=2"],
    "oracle": [
        *("adaptation.num_adaptation_steps=0", "env.observe_task=true"),
        "evaluation.num_adaptation_steps=0",
    ],
    "cheetah": ["env.id=HalfCheetahDir-v0", "rollout.horizon=3"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with single_torch_thread():
        for name, settings in RUNS.items():
            settings = [*SETTINGS, *settings, f"run.dir={folder / name}"]
            start_run(load_config("smoke", settings), "smoke", Console(quiet=True))
    return folder


@pytest.fixture
def runs(trained, tmp_path, monkeypatch) -> Path:
    """A copy of the runs, in the current folder."""
    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def report(capsys):
    """The command in this process: exit status, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with single_torch_thread(), pytest.raises(SystemExit) as ended:
                app(["report", *map(str, arguments)])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    return call


def data_of(path: Path) -> dict:
    match = re.search(r'type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(match[1])


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.name != ".lock"}


def test_the_report_of_a_run_lies_in_it_and_its_path_is_all_that_is_printed(runs, report):
    status, out, _ = report("one")
    assert (status, out) == (0, "one/report.html\n")
    data = data_of(runs / "one" / "report.html")
    with single_torch_thread():
        curve = evaluate_model(load_model(runs / "one")).curve
    assert data["adaptation"]["mean"] == pytest.approx(curve.mean, abs=1e-4)
    assert data["adaptation"]["high"] == pytest.approx(curve.mean + curve.interval, abs=1e-4)
    spread = 1.959964 * curve.value.std(-1, ddof=1) / curve.value.shape[-1] ** 0.5
    intervals = [interval for row in data["tasks"]["rows"] for interval in row["intervals"]]
    assert intervals == pytest.approx(spread.ravel(), abs=1e-4)
    gains = task_gains([curve])
    assert [row["gain"] for row in data["tasks"]["rows"]] == pytest.approx(gains.gain, abs=1e-4)
    assert data["tasks"]["num_losing"] == gains.num_losing_runs.sum()
    assert data["warnings"] == []
    assert data["replays"]["view"] == "plane"


def test_several_runs_are_an_interquartile_mean_and_the_oracle_a_level_beside(runs, report):
    status, out, _ = report("one", "two", "--reference", "oracle=oracle", "--reference", "random")
    assert (status, out) == (0, "report.html\n")
    data = data_of(runs / "report.html")
    with single_torch_thread():
        curves = [evaluate_model(load_model(runs / name)).curve for name in ("one", "two")]
    means = interquartile_means(curves)
    adaptation = data["adaptation"]
    assert adaptation["mean"] == pytest.approx(means.mean, abs=1e-4)
    assert adaptation["low"] == pytest.approx(means.low, abs=1e-4)
    assert [len(reference["mean"]) for reference in adaptation["references"]] == [
        1,
        len(means.mean),
    ]
    returns = [row["values"] for row in data["tasks"]["rows"]]
    expected = mean_curve(curves).task_value
    assert [entry for row in returns for entry in row] == pytest.approx(expected.ravel(), abs=1e-4)
    assert [run["name"] for run in data["runs"]] == ["one", "two"]


def test_tasks_and_steps_can_be_chosen(runs, report):
    status, _, _ = report("one", "--num-tasks", "3", "--steps", "4", "--out", "mine.html")
    assert status == 0
    data = data_of(runs / "mine.html")
    assert len(data["tasks"]["rows"]) == 3
    assert len(data["adaptation"]["mean"]) == 5


def test_an_unfinished_run_that_was_never_evaluated_still_gives_a_report(runs, report):
    (runs / "one" / "best.json").unlink()
    (runs / "one" / "evaluation.csv").unlink()
    first = (runs / "one" / "metrics.jsonl").read_text().splitlines()[0]
    record = {key: value for key, value in json.loads(first).items() if "validation" not in key}
    (runs / "one" / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    newest = runs / "one" / "checkpoints" / "iteration_000002"
    shutil.move(newest, newest.with_name("iteration_000001"))
    status, _, _ = report("one")
    assert status == 0
    (warning,) = data_of(runs / "one" / "report.html")["warnings"]
    assert warning.startswith("one is unfinished: 1 of 2 meta-iterations are complete")


def test_a_checkpoint_stands_for_its_run(runs, report):
    (checkpoint,) = (runs / "one" / "checkpoints").glob("*2")
    status, out, _ = report(checkpoint)
    assert status == 0
    assert Path(out.strip()).resolve() == runs / "one" / "report.html"


def test_an_earlier_report_is_replaced_only_by_force(runs, report):
    earlier = runs / "one" / "report.html"
    earlier.write_text("mine")
    status, _, error = report("one")
    assert status == 1
    assert "one/report.html exists and is not overwritten; --force replaces it" in error
    assert earlier.read_text() == "mine"
    assert report("one", "--force")[0] == 0
    assert data_of(earlier)["title"] == "Navigation2D-v0"


MISTAKES = {
    "no run": (["nowhere"], "nowhere"),
    "other environments": (["one", "cheetah"], "cannot be compared"),
    "twice": (["one", "one"], "named twice"),
    "no folder": (["one", "--out", "nowhere/x.html"], "there is no folder nowhere"),
    "a folder": (["one", "--out", "two", "--force"], "two is a folder"),
    "reference": (["one", "--reference", "oracle"], "NAME=RUN"),
    "too few tasks": (["one", "--num-tasks", "1"], "num_tasks"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing(runs, report, mistake):
    arguments, expected = MISTAKES[mistake]
    before = files(runs)
    status, out, error = report(*arguments)
    assert status == 1
    assert out == ""
    assert error.startswith("Error: ")
    assert expected in error
    assert error.count("\n") == 1
    assert files(runs) == before


def test_a_full_disk_is_one_sentence_and_leaves_nothing(runs):
    before = files(runs)

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    ended = subprocess.run(
        [sys.executable, "-m", "meta_rl", "report", "one"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        preexec_fn=small_files_only,
        check=False,
    )
    assert ended.returncode == 1
    assert "Error: one/report.html cannot be written: File too large\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert files(runs) == before
