"""The training loop: what is saved and counted when, and how it ends early."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from meta_rl.config import load_config
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.sampler import NumericalError, single_torch_thread
from meta_rl.runs.checkpoint import find_checkpoints, load_checkpoint
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.training.jobs import start_run


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


def run(path: Path, *overrides: str) -> list[dict]:
    config = load_config("smoke", ["run.device=cpu", f"run.dir={path}", *overrides])
    start_run(config, "smoke", Console(file=io.StringIO()))
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def iterate(state: TrainerState | None = None, *overrides: str):
    """The next state, the metrics, the state before and the clock."""
    with RLProblem(load_config("smoke", ["run.device=cpu", *overrides])) as problem:
        clock = StageClock(problem.device)
        state = state or problem.initial_state()
        return *problem.meta_iteration(state, clock), state, clock


def test_a_meta_iteration_is_a_function_of_its_state():
    after, metrics, before, clock = iterate()
    again, *_ = iterate()
    for name, value in after.params.items():
        assert torch.equal(value, again.params[name])
        assert value.shape == before.params[name].shape
        assert not torch.equal(value, before.params[name])
    assert metrics["accepted"]
    assert 0 < metrics["kl"] <= 0.01
    assert len(metrics["train_return"]) == 2
    # 3 tasks, 4 episodes, 10 steps, before and after; an episode may reach its goal early.
    assert 200 < after.env_steps <= 240
    assert after.meta_iteration == 1
    assert clock.seconds.keys() == {"sampling", "adapting", "updating"}


def test_each_meta_iteration_has_its_own_tasks():
    with RLProblem(load_config("smoke", ["run.device=cpu"])) as problem:
        state, tasks = problem.initial_state(), []
        for number in range(2):
            play = problem._play(replace(state, meta_iteration=number), StageClock(problem.device))
            tasks.append(problem.algorithm.adapt(state.learned, play, 0)[0].task)
    assert tasks[0].shape == (3, 2)
    assert (tasks[0] != tasks[1]).all()


def test_more_adaptation_steps_collect_more_episodes():
    _, metrics, *_ = iterate(None, "adaptation.num_adaptation_steps=3")
    assert len(metrics["train_return"]) == 4
    assert metrics["kl"] > 0


def test_a_refused_step_leaves_the_parameters_and_training_goes_on(tmp_path: Path):
    # A radius that float32 cannot tell from zero leaves nothing to improve.
    lines = run(tmp_path / "run", "meta_update.max_kl=1e-30", "run.keep_checkpoints=9")
    assert [line["accepted"] for line in lines] == [False] * 4
    assert all(line["line_search"] != "accepted" for line in lines)
    first, *others = [
        (path / "model.safetensors").read_bytes() for path in find_checkpoints(tmp_path / "run")
    ]
    assert all(other == first for other in others)


def test_the_trust_region_shrinks_to_its_final_radius(tmp_path: Path):
    path, settings = tmp_path / "run", ("meta_update.max_kl=0.08", "meta_update.final_max_kl=0.01")
    lines = run(path, *settings)
    assert [line["max_kl"] for line in lines] == pytest.approx([0.08, 0.04, 0.02, 0.01])
    assert all(line["accepted"] and line["kl"] <= line["max_kl"] for line in lines)
    # From a checkpoint halfway, the same radii and so the same bits.
    *_, initial, _ = iterate(None, *settings)
    after = {
        int(c.name[-6:]): load_checkpoint(c, initial.params).params for c in find_checkpoints(path)
    }
    learned = initial.learned._replace(params=after[2])
    state = replace(initial, learned=learned, meta_iteration=2)
    for _ in range(2):
        state, *_ = iterate(state, *settings)
    for name, value in after[4].items():
        assert torch.equal(state.params[name], value)


@pytest.mark.parametrize("overrides", [(), ("run.meta_iterations=1",)])
def test_without_a_final_radius_it_is_constant(overrides):
    _, metrics, *_ = iterate(None, *overrides)
    assert metrics["max_kl"] == 0.01
    _, metrics, *_ = iterate(None, "run.meta_iterations=1", "meta_update.final_max_kl=0.001")
    assert metrics["max_kl"] == 0.01, "the first meta-iteration, even where it is the last"


def test_checkpoints_and_evaluations_come_when_they_are_due(tmp_path: Path):
    lines = run(
        tmp_path / "run",
        *("run.meta_iterations=7", "run.checkpoint_every=4", "evaluation.every=3"),
        "run.keep_checkpoints=99",
    )
    evaluated = [line["meta_iteration"] for line in lines if "validation_return" in line]
    assert evaluated == [3, 6, 7]  # the end has one of its own where none is due
    saved = [int(path.name[-6:]) for path in find_checkpoints(tmp_path / "run")]
    assert saved == [0, 3, 4, 6, 7]


def test_an_evaluation_only_at_the_end(tmp_path: Path):
    lines = run(tmp_path / "run", "evaluation.every=0", "run.meta_iterations=3")
    assert ["validation_return" in line for line in lines] == [False, False, True]


def test_counts(tmp_path: Path):
    lines = run(tmp_path / "run", "run.meta_iterations=2")
    # 3 tasks, 4 episodes, 10 steps, before and after; an episode may reach its goal early.
    assert 200 < lines[0]["env_steps"] <= 240
    assert lines[0]["env_steps"] < lines[1]["env_steps"] <= 480
    assert 0 < lines[0]["seconds_total"] < lines[1]["seconds_total"]
    last = load_checkpoint(tmp_path / "run")
    assert last.trainer_state["env_steps"] == lines[1]["env_steps"]
    assert len(lines[0]["train_return"]) == len(lines[0]["train_return_interval"]) == 2
    assert lines[0]["num_diverged_episodes"] == 0
    assert lines[0]["policy_std"] == pytest.approx(1.0, abs=0.05)


def test_an_error_after_some_iterations_saves_the_last_complete_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, iterations = tmp_path / "run", []
    real = RLProblem.meta_iteration

    def failing(*args):
        iterations.append(args)
        if len(iterations) == 4:
            raise NumericalError("broken")
        return real(*args)

    monkeypatch.setattr(RLProblem, "meta_iteration", failing)
    with pytest.raises(NumericalError, match="broken"):
        run(path, "run.checkpoint_every=100", "evaluation.every=0")
    assert [checkpoint.name[-1] for checkpoint in find_checkpoints(path)] == ["0", "3"]


@pytest.mark.parametrize("multi_step", [False, True])
def test_without_adaptation_steps_the_loop_trains_on_the_task_mixture(tmp_path: Path, multi_step):
    records = run(
        tmp_path / "run",
        *("adaptation.num_adaptation_steps=0", f"adaptation.multi_step={multi_step}"),
        *("run.meta_iterations=2", "env.observe_task=true"),
    )
    assert [len(record["train_return"]) for record in records] == [1, 1]
    assert all(record["accepted"] for record in records)
    # Evaluation adapts all the same, as its own settings say.
    assert len(records[-1]["validation_return"]) == 4
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.params["mean.layers.0.weight"].shape[1] == 4, "position and goal"
