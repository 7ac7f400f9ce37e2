"""Whole runs in this process: resuming is exact, and what is kept is chosen without test tasks."""

import csv
import io
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from meta_rl.algorithms.inner_loop import PolicyGradientAdaptation
from meta_rl.algorithms.maml_trpo import MamlTrpo
from meta_rl.config import ConfigError, load_config
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs import checkpoint, run_log
from meta_rl.runs.best_checkpoint import CheckpointError
from meta_rl.runs.checkpoint import find_checkpoints
from meta_rl.runs.progress import Progress
from meta_rl.runs.run_directory import RunDirectoryError, create_run_directory
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.seeding import Split
from meta_rl.training.jobs import TrainingResult, resume_run, start_run

CHEETAH = ("env.id=HalfCheetahVel-v0", "rollout.horizon=8")


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


class Interruption(BaseException):
    """Stands for whatever may end a process between two lines."""


def start(path: Path, *overrides: str, shown: io.StringIO | None = None) -> TrainingResult:
    config = load_config("smoke", ["run.device=cpu", f"run.dir={path}", *overrides])
    return start_run(config, "smoke", Console(file=shown or io.StringIO()))


def resume(path: Path, *overrides: str, shown: io.StringIO | None = None) -> TrainingResult:
    config = load_config(str(path / "config.yaml"), overrides)
    return resume_run(path, config, Console(file=shown or io.StringIO()))


def metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` without what a clock says."""
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def evaluations(path: Path, split: str | None = None) -> list[dict[str, str]]:
    with (path / "evaluation.csv").open() as file:
        return [row for row in csv.DictReader(file) if split in (None, row["split"])]


def assert_same_run(a: Path, b: Path) -> None:
    """The same numbers in the same places, bit for bit."""
    assert metrics(a) == metrics(b)
    assert (a / "evaluation.csv").read_bytes() == (b / "evaluation.csv").read_bytes()
    assert (a / "best.json").read_bytes() == (b / "best.json").read_bytes()
    last_a, last_b = find_checkpoints(a)[-1], find_checkpoints(b)[-1]
    assert last_a.name == last_b.name
    for name in ("model.safetensors", "config.json"):
        content = [(last / name).read_bytes() for last in (last_a, last_b)]
        if name == "config.json":
            content = [json.loads(text)["env"] for text in content]
        assert content[0] == content[1], name


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Four meta-iterations without interruption; nobody writes here."""
    path = tmp_path_factory.mktemp("jobs") / "whole"
    with single_torch_thread():
        start(path)
    return path


@pytest.mark.parametrize("overrides", [(), CHEETAH], ids=["Navigation2D", "HalfCheetahVel"])
def test_two_and_two_more_are_four(tmp_path: Path, whole: Path, overrides):
    if overrides:
        whole = tmp_path / "whole"
        start(whole, *overrides)
    path = tmp_path / "resumed"
    start(path, "run.meta_iterations=2", *overrides)
    assert [line["meta_iteration"] for line in metrics(path)] == [1, 2]
    resume(path, "run.meta_iterations=4")
    assert_same_run(path, whole)
    assert [line["meta_iteration"] for line in metrics(path)] == [1, 2, 3, 4]
    assert load_config(str(path / "config.yaml")).run.meta_iterations == 4


@pytest.mark.needs("a C++ compiler")
# The compiler takes a minute, and several where other work shares the machine.
@pytest.mark.timeout(900)
def test_a_compiled_update_is_the_same_update_and_resumes_to_the_bit(tmp_path: Path, whole: Path):
    compiled, resumed, shown = tmp_path / "compiled", tmp_path / "resumed", io.StringIO()
    start(compiled, "run.compile=true", shown=shown)
    assert shown.getvalue().count("Compiling the meta-update, which may take a minute.") == 1
    assert "cannot be compiled" not in shown.getvalue()
    for name in ("kl", "surrogate_after", "gradient_norm"):
        assert metrics(compiled)[0][name] == pytest.approx(metrics(whole)[0][name], rel=1e-3), name
    start(resumed, "run.compile=true", "run.meta_iterations=2")
    resume(resumed, "run.meta_iterations=4")
    assert_same_run(resumed, compiled)


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Lets the call of this number, counted from 1, do its work and then raise."""
    function, calls = getattr(owner, name), []

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        result = function(*args, **kwargs)
        if len(calls) == call:
            raise Interruption
        return result

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(
    ("owner", "name", "call", "saved"),
    [
        (MamlTrpo, "update", 1, 0),
        (PolicyGradientAdaptation, "step", 4, 1),  # in the validation after the second iteration
        (PolicyGradientAdaptation, "step", 6, 2),
        (MamlTrpo, "update", 4, 3),
        (Progress, "meta_iteration", 3, 2),  # when the line of metrics is written already
        (run_log.RunLog, "evaluation", 2, 3),  # and the rows of the evaluation
        (run_log, "save_checkpoint", 2, 2),  # calls are for 0, 2 and 4 iterations
        (checkpoint, "write_best", 2, 4),
        (run_log.RunLog, "evaluation", 3, 4),  # during the report on test tasks
    ],
)
def test_an_interruption_anywhere_changes_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, owner, name, call, saved
):
    path, shown = tmp_path / "it's a run", io.StringIO()
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        fail_at(patch, owner, name, call)
        start(path, shown=shown)
    assert find_checkpoints(path)[-1].name == f"iteration_{saved:06d}"
    last_line = shown.getvalue().splitlines()[-1]
    command = "Stopped. Resume with: meta-rl train --resume "
    assert last_line.startswith(command)
    assert shlex.split(last_line.removeprefix(command)) == [str(path)]
    resume(path)
    assert_same_run(path, whole)


def test_a_damaged_newest_checkpoint_costs_iterations_not_the_run(tmp_path: Path, whole: Path):
    path, shown = tmp_path / "run", io.StringIO()
    start(path)
    model = find_checkpoints(path)[-1] / "model.safetensors"
    model.write_bytes(model.read_bytes()[:100])
    resume(path, shown=shown)
    assert "passed over a damaged checkpoint" in shown.getvalue()
    assert str(model) in shown.getvalue()
    assert_same_run(path, whole)


def test_the_best_checkpoint_before_the_resume_point_stays_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keep = ("run.keep_checkpoints=1", "run.checkpoint_every=1")
    # A seed whose second iteration validates better than its fourth.
    for seed in range(8, 30):
        whole, options = tmp_path / str(seed), (f"run.seed={seed}", *keep)
        result = start(whole, *options)
        if json.loads((whole / "best.json").read_text())["meta_iteration"] == 2:
            break
    else:
        pytest.fail("of 22 seeds, none had its best iteration before its last")
    path = tmp_path / "resumed"
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        fail_at(patch, MamlTrpo, "update", 4)
        start(path, *options)
    names = [checkpoint.name for checkpoint in find_checkpoints(path)]
    assert names == ["iteration_000002", "iteration_000003"]
    resumed = resume(path)
    assert_same_run(path, whole)
    assert list(resumed.curves) == list(result.curves) == ["untrained", "iteration 2"]


def test_threads_change_no_number(tmp_path: Path):
    for num_threads in (1, 2):
        start(tmp_path / str(num_threads), f"rollout.num_threads={num_threads}", *CHEETAH)
    assert_same_run(tmp_path / "1", tmp_path / "2")


def test_seeds_change_the_training_but_not_the_held_out_tasks(tmp_path: Path, whole: Path):
    other = tmp_path / "other"
    start(other, "run.seed=1")
    assert metrics(other)[0]["train_return"] != metrics(whole)[0]["train_return"]

    def held_out(path: Path) -> set[tuple[str, ...]]:
        columns = ("split", "task_index", "goal_x", "goal_y")
        return {tuple(row[column] for column in columns) for row in evaluations(path)}

    assert held_out(other) == held_out(whole)


def returns_by_step(rows: list[dict[str, str]], meta_iteration: int) -> np.ndarray:
    values: dict[int, list[float]] = {}
    for row in rows:
        if int(row["meta_iteration"]) == meta_iteration:
            values.setdefault(int(row["adaptation_step"]), []).append(float(row["episode_return"]))
    return np.array([np.mean(values[step]) for step in sorted(values)])


def test_the_kept_iteration_is_the_best_on_validation_and_the_report_is_on_test_tasks(
    tmp_path: Path,
):
    path = tmp_path / "run"
    result = start(path, "evaluation.every=1")
    validation, test = evaluations(path, "validation"), evaluations(path, "test")
    assert len(validation) + len(test) == len(evaluations(path))
    scores = {i: returns_by_step(validation, i)[1:].mean() for i in (1, 2, 3, 4)}
    best = max(scores, key=scores.__getitem__)
    recorded = json.loads((path / "best.json").read_text())
    assert recorded["meta_iteration"] == best
    assert recorded["score"] == pytest.approx(scores[best])
    assert [line["is_best"] for line in metrics(path)] == [
        scores[i] > max([-np.inf, *(scores[j] for j in range(1, i))]) for i in (1, 2, 3, 4)
    ]
    assert {int(row["meta_iteration"]) for row in test} == {0, best}
    for (name, curve), meta_iteration in zip(result.curves.items(), (0, best), strict=True):
        assert name == ("untrained" if meta_iteration == 0 else f"iteration {best}")
        np.testing.assert_allclose(curve.mean, returns_by_step(test, meta_iteration))
    goals = [{row["goal_x"] for row in rows} for rows in (validation, test)]
    assert not goals[0] & goals[1]


def test_test_tasks_are_not_looked_at_before_training_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    order: list[str] = []
    evaluate, meta_iteration = RLProblem.evaluate, RLProblem.meta_iteration

    def spied(self: RLProblem, state: TrainerState, split: Split) -> AdaptationCurve:
        order.append(split.name)
        return evaluate(self, state, split)

    monkeypatch.setattr(RLProblem, "evaluate", spied)
    monkeypatch.setattr(
        RLProblem, "meta_iteration", lambda *args: order.append("-") or meta_iteration(*args)
    )
    start(tmp_path / "run")
    assert order == ["-", "-", "VALIDATION", "-", "-", "VALIDATION", "TEST", "TEST"]


def test_resuming_a_run_that_has_ended_reports_again(tmp_path: Path):
    path = tmp_path / "run"
    first = start(path, "run.meta_iterations=2")
    table = (path / "evaluation.csv").read_bytes()
    again = resume(path)
    assert first.curves.keys() == again.curves.keys()
    for name, curve in first.curves.items():
        assert np.array_equal(curve.value, again.curves[name].value)
    assert (path / "evaluation.csv").read_bytes() == table


def contents(path: Path) -> dict[str, bytes]:
    return {
        str(file): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


def test_a_resume_to_fewer_iterations_is_refused(tmp_path: Path, whole: Path):
    before = contents(whole)
    with pytest.raises(ConfigError, match=r"meta_iterations \(3\) should be greater than the 4"):
        resume(whole, "run.meta_iterations=3")
    assert contents(whole) == before


def test_a_resume_that_would_end_without_any_evaluation_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        fail_at(patch, MamlTrpo, "update", 2)
        start(path)
    with pytest.raises(ConfigError, match=r"meta_iterations \(1\) should be greater than the 1"):
        resume(path, "run.meta_iterations=1")
    resume(path, "run.meta_iterations=2")


def test_a_run_that_was_killed_before_its_first_checkpoint_starts(tmp_path: Path, whole: Path):
    path = tmp_path / "run"
    config = load_config("smoke", ["run.device=cpu", f"run.dir={path}"])
    create_run_directory(config, "smoke").close()
    resume(path)
    assert_same_run(path, whole)


def test_a_run_whose_checkpoints_are_gone_is_left_alone_with_a_way_out(tmp_path: Path):
    path = tmp_path / "run"
    start(path, "run.meta_iterations=1", "evaluation.num_tasks=2")
    shutil.rmtree(path / "checkpoints")
    before = contents(path)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*/run; .*train .*config.yaml$"):
        resume(path)
    assert contents(path) == before


def test_a_run_directory_that_is_replaced_stops_the_run_and_keeps_the_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "run"
    update = MamlTrpo.update

    def replace_directory(*args: Any, **kwargs: Any) -> Any:
        path.rename(tmp_path / "moved")
        create_run_directory(load_config("smoke", [f"run.dir={path}"]), "smoke").close()
        return update(*args, **kwargs)

    monkeypatch.setattr(MamlTrpo, "update", replace_directory)
    with pytest.raises(RunDirectoryError, match="was deleted, moved or replaced while"):
        start(path)
    assert {file.name for file in path.iterdir()} == {".lock", "config.yaml", "run.json"}


def test_a_checkpoint_of_another_network_is_refused_and_kept(whole: Path):
    before = contents(whole)
    with pytest.raises(CheckpointError, match=r"another policy.hidden_sizes: \[16\], not \[8\]$"):
        resume(whole, "policy.hidden_sizes=[8]")
    assert contents(whole) == before


def test_an_existing_directory_is_refused_and_kept(whole: Path):
    before = contents(whole)
    with pytest.raises(RunDirectoryError, match="exists and is not overwritten"):
        start(whole)
    assert contents(whole) == before


def test_going_on_with_another_policy_of_the_same_shape_is_refused(whole: Path):
    before = contents(whole)
    with pytest.raises(
        CheckpointError, match=r"trained with another policy.activation: tanh, not relu$"
    ):
        resume(whole, "policy.activation=relu")
    assert contents(whole) == before
