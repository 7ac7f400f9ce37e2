"""A resumed run reports as if it had been as long from the start, and scores of one kind."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from meta_rl.config import AnyConfig, ConfigError, load_config
from meta_rl.curves.adaptation_curve import AdaptationCurve, return_curve
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import load_model
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.best_checkpoint import checkpoint_path
from meta_rl.runs.checkpoint import find_checkpoints
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.seeding import Split
from meta_rl.training.jobs import TrainingResult, resume_run, start_run

RL = ("evaluation.num_tasks=2", "evaluation.episodes_per_task=2", "run.device=cpu")
SINE = (
    *("network.hidden_sizes=[8]", "meta_update.meta_batch_size=3", "run.device=cpu"),
    *("evaluation.num_tasks=5", "evaluation.queries=6", "run.log_every=4"),
    "run.compile=false",
)


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


def start(preset: str, path: Path, *overrides: str) -> TrainingResult:
    small = RL if preset == "smoke" else SINE
    config = load_config(preset, [*small, f"run.dir={path}", *overrides])
    return start_run(config, preset, Console(file=io.StringIO()))


def resume(path: Path, *overrides: str, shown: io.StringIO | None = None) -> TrainingResult:
    config = load_config(str(path / "config.yaml"), overrides)
    return resume_run(path, config, Console(file=shown or io.StringIO()))


def records(path: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def validated(path: Path) -> list[int]:
    return [line["meta_iteration"] for line in records(path) if "validation_score" in line]


def rows(path: Path, split: str) -> list[dict[str, str]]:
    with (path / "evaluation.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


def numbers(path: Path) -> tuple[object, ...]:
    last = find_checkpoints(path)[-1]
    files = (path / "evaluation.csv", path / "best.json", last / "model.safetensors")
    return records(path), last.name, *(file.read_bytes() for file in files)


def contents(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file): file.read_bytes() for file in files}


@pytest.mark.parametrize("preset", ["smoke", "sine"])
@pytest.mark.parametrize(("every", "short", "long"), [(0, 2, 4), (2, 3, 5), (3, 4, 6)])
def test_a_longer_run_ends_as_if_it_had_been_long_from_the_start(
    tmp_path: Path, preset, every, short, long
):
    settings = (f"evaluation.every={every}", "run.keep_checkpoints=1")
    whole = start(preset, tmp_path / "whole", *settings, f"run.meta_iterations={long}")
    start(preset, tmp_path / "part", *settings, f"run.meta_iterations={short}")
    assert validated(tmp_path / "part")[-1] == short
    resumed = resume(tmp_path / "part", f"run.meta_iterations={long}")
    assert validated(tmp_path / "part")[-1] == long
    assert list(resumed.curves) == list(whole.curves)
    assert numbers(tmp_path / "part") == numbers(tmp_path / "whole")


def scores(monkeypatch: pytest.MonkeyPatch, *values: float) -> list[AnyConfig]:
    """Gives validations these scores, in order; returns the settings that each was made with."""
    real, left, seen = RLProblem.evaluate, list(values), []

    def scored(self: RLProblem, state: TrainerState, split: Split) -> AdaptationCurve:
        curve = real(self, state, split)
        if split is not Split.VALIDATION:
            return curve
        seen.append(self.config)
        return return_curve(curve.task, np.full_like(curve.value, left.pop(0)))

    monkeypatch.setattr(RLProblem, "evaluate", scored)
    return seen


def test_the_end_of_a_shorter_run_does_not_cost_the_best_scheduled_iteration(
    tmp_path: Path, monkeypatch
):
    """Iteration 2 is best, then 3, the end of the shorter run, which the longer one forgets."""
    path = tmp_path / "run"
    scores(monkeypatch, -2.0, -1.0, -4.0, -5.0)
    settings = ("evaluation.every=2", "run.keep_checkpoints=1", "run.checkpoint_every=1")
    short = start("smoke", path, *settings, "run.meta_iterations=3")
    assert list(short.curves) == ["untrained", "iteration 3"]
    long = resume(path, "run.meta_iterations=5")
    assert list(long.curves) == ["untrained", "iteration 2"]


@pytest.mark.parametrize(
    "change",
    [
        "rollout.horizon=12",
        "evaluation.num_tasks=3",
        "evaluation.seed=4",
        "evaluation.num_adaptation_steps=1",
        "adaptation.inner_step_size=0.01",
    ],
)
def test_scores_of_other_settings_are_not_compared(tmp_path: Path, monkeypatch, change):
    path, shown = tmp_path / "run", io.StringIO()
    # Iteration 1 looks best by far, and is worse than 4 once they are evaluated alike.
    seen = scores(monkeypatch, 100.0, 50.0, -9.0, -8.0, -7.0)
    start("smoke", path, "evaluation.every=1", "run.meta_iterations=2")
    before = load_config(str(path / "config.yaml"))
    resumed = resume(path, change, "run.meta_iterations=4", shown=shown)
    name = change.partition("=")[0]
    assert f"with another {name}, so iteration 1, the best so far, is validated again" in " ".join(
        shown.getvalue().split()
    )
    assert list(resumed.curves) == ["untrained", "iteration 4"]
    assert json.loads((path / "best.json").read_text()) == {"meta_iteration": 4, "score": -7.0}
    section, key = name.split(".")
    used = [getattr(getattr(config, section), key) for config in seen]
    assert used[0] == used[1] == getattr(getattr(before, section), key)
    assert used[2] == used[3] == used[4] != used[0]
    assert {row["meta_iteration"] for row in rows(path, "validation_until_2")} == {"1", "2"}
    assert {row["meta_iteration"] for row in rows(path, "validation")} == {"1", "3", "4"}
    assert validated(path) == [3, 4]
    resumption = json.loads((path / "run.json").read_text())["resumed"][0]
    assert resumption["meta_iteration"] == 2
    assert set(resumption["changed_settings"]) == {name, "run.meta_iterations"}


def test_the_best_iteration_stays_the_best_where_it_is_and_is_evaluated_as_the_run_was(
    tmp_path: Path, monkeypatch
):
    path = tmp_path / "run"
    scores(monkeypatch, 1.0, 0.0, 5.0, 4.0)
    start("smoke", path, "evaluation.every=1", "run.meta_iterations=2", "run.keep_checkpoints=1")
    result = resume(path, "rollout.horizon=13", "run.meta_iterations=3")
    assert list(result.curves) == ["untrained", "iteration 1"]
    assert json.loads((path / "best.json").read_text()) == {"meta_iteration": 1, "score": 5.0}
    monkeypatch.undo()
    again = evaluate_model(load_model(path)).curve
    assert np.array_equal(again.value, result.curves["iteration 1"].value)
    # A checkpoint that is named itself is evaluated as it was trained.
    checkpoint = load_model(checkpoint_path(path, 1))
    assert checkpoint.config.rollout.horizon == 10


def test_supervised_scores_of_other_settings_are_not_compared_either(tmp_path: Path):
    path, shown = tmp_path / "run", io.StringIO()
    start("sine", path, "evaluation.every=1", "run.meta_iterations=2", "run.keep_checkpoints=1")
    first = json.loads((path / "best.json").read_text())
    changes = ("adaptation.inner_step_size=1e-6", "run.meta_iterations=3")
    result = resume(path, *changes, shown=shown)
    kept = first["meta_iteration"]
    assert f"iteration {kept}, the best so far, is validated again" in shown.getvalue()
    best = json.loads((path / "best.json").read_text())
    curves = {
        int(i): np.mean(
            [
                float(row["loss"])
                for row in rows(path, "validation")
                if row["meta_iteration"] == i and row["adaptation_step"] != "0"
            ]
        )
        for i in {row["meta_iteration"] for row in rows(path, "validation")}
    }
    assert set(curves) == {kept, 3}
    assert best["score"] == pytest.approx(-min(curves.values()))
    again = evaluate_model(load_model(path)).curve
    assert np.array_equal(again.value, list(result.curves.values())[-1].value)


def test_without_its_checkpoint_the_best_no_longer_competes(tmp_path: Path, monkeypatch):
    path, shown = tmp_path / "run", io.StringIO()
    scores(monkeypatch, 9.0, 0.0, -3.0)
    start("smoke", path, "evaluation.every=1", "run.meta_iterations=2")
    (checkpoint_path(path, 1) / "model.safetensors").write_bytes(b"")
    result = resume(path, "rollout.horizon=12", "run.meta_iterations=3", shown=shown)
    assert "iteration 1 no longer competes" in shown.getvalue()
    assert list(result.curves) == ["untrained", "iteration 3"]


def test_a_kill_before_the_run_goes_on_validates_again_once(tmp_path: Path, monkeypatch):
    path = tmp_path / "run"
    start("smoke", path, "evaluation.every=1", "run.meta_iterations=2")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            RLProblem, "meta_iteration", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        resume(path, "rollout.horizon=12", "run.meta_iterations=3")
    best = str(json.loads((path / "best.json").read_text())["meta_iteration"])
    again = [row for row in rows(path, "validation") if row["meta_iteration"] == best]
    assert again == rows(path, "validation")
    resume(path)
    assert [row for row in rows(path, "validation") if row["meta_iteration"] == best] == again


@pytest.mark.parametrize(
    "changes",
    [
        ("adaptation.inner_step_size=0.3", "run.seed=5"),
        ("rollout.horizon=12",),
        ("evaluation.every=1",),
        ("run.checkpoint_every=7",),
    ],
)
def test_a_finished_run_is_left_alone_by_other_settings(tmp_path: Path, changes):
    path = tmp_path / "run"
    start("smoke", path, "run.meta_iterations=1")
    before = contents(path)
    with pytest.raises(ConfigError) as refused:
        resume(path, *changes)
    names = " and ".join(sorted(change.partition("=")[0] for change in changes))
    assert str(refused.value) == (
        f"{path} has completed its 1 meta-iterations, so nothing would be trained with another "
        f"{names}; ask for more run.meta_iterations, or train a new run"
    )
    assert contents(path) == before


def test_a_run_that_was_stopped_during_its_tests_ends_elsewhere_with_the_same_settings(
    tmp_path: Path, monkeypatch
):
    path = tmp_path / "run"
    real = RLProblem.evaluate

    def stopped(self: RLProblem, state: TrainerState, split: Split) -> AdaptationCurve:
        if split is Split.TEST:
            raise KeyboardInterrupt
        return real(self, state, split)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RLProblem, "evaluate", stopped)
        start("smoke", path, "run.meta_iterations=1")
    with pytest.raises(ConfigError, match=r"another rollout\.horizon; ask"):
        resume(path, "rollout.horizon=12")
    assert list(resume(path, "rollout.num_threads=1").curves) == ["untrained", "iteration 1"]


def test_an_end_that_was_not_validated_is_no_end(tmp_path: Path, monkeypatch):
    path, real, calls = tmp_path / "run", RLProblem.meta_iteration, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RLProblem, "meta_iteration", interrupted)
        start("smoke", path, "evaluation.every=2", "run.meta_iterations=6")
    with pytest.raises(ConfigError, match=r"meta_iterations \(3\) should be greater than the 3"):
        resume(path, "run.meta_iterations=3")
    resume(path, "run.meta_iterations=4")
    assert validated(path) == [2, 4]
