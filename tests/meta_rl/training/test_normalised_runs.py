"""Runs with policy.normalise_observations: what is kept, what is fixed, what is bit-identical."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from meta_rl.algorithms.advantages import policy_gradient_batch
from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import load_model, untrained_model
from meta_rl.models.observation_normaliser import observation_normaliser, split_moments
from meta_rl.models.policy import action_distribution
from meta_rl.ops.moments import Moments, no_moments
from meta_rl.problems import rl
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.best_checkpoint import CheckpointError, checkpoint_path
from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.training.jobs import resume_run, start_run

CHECKOUT = Path(__file__).parents[3]
NORMALISED = (
    *("policy.normalise_observations=true", "run.device=cpu", "rollout.num_threads=1"),
    "run.seed=5",  # with which some episodes end early
)
STATISTICS = {f"observation_moments.{name}" for name in Moments._fields}


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, and the training episodes of each of its meta-iterations."""
    path, episodes = tmp_path_factory.mktemp("normalised") / "run", []
    real = rl.episode_summary

    def summary(batch, **options):
        episodes.append(batch)
        return real(batch, **options)

    with pytest.MonkeyPatch.context() as patch, single_torch_thread():
        patch.setattr(rl, "episode_summary", summary)
        config = load_config("smoke", [*NORMALISED, f"run.dir={path}", "run.keep_checkpoints=9"])
        start_run(config, "smoke", Console(file=io.StringIO()))
    return path, episodes


def test_a_checkpoint_holds_the_statistics_of_all_real_training_steps_before_it(run):
    path, episodes = run
    for meta_iteration in (0, 2, 4):
        checkpoint = load_checkpoint(checkpoint_path(path, meta_iteration))
        _, moments = split_moments(checkpoint.params)
        steps = [
            rollouts.observation[rollouts.valid].double()
            for stages in episodes[:meta_iteration]
            for rollouts in stages
        ]
        if not steps:
            assert all((entry == 0).all() for entry in moments)
            continue
        # Padding was there, so that counting it would be seen.
        assert not all(r.valid.all() for stages in episodes[:meta_iteration] for r in stages)
        observed = torch.cat(steps)
        assert moments.num_samples == len(observed)
        assert_close(moments.mean, observed.mean(0), rtol=1e-12, atol=1e-15)
        assert_close(moments.variance, observed.var(0, correction=0), rtol=1e-12, atol=0)


def test_without_the_setting_a_checkpoint_holds_parameters_alone(tmp_path):
    config = load_config("smoke", [f"run.dir={tmp_path / 'run'}", "run.device=cpu"])
    start_run(config, "smoke", Console(file=io.StringIO()))
    assert set(load_checkpoint(tmp_path / "run").params) == {
        *(f"mean.layers.{layer}.{name}" for layer in (0, 2) for name in ("weight", "bias")),
        "log_std",
    }


def test_an_evaluation_repeats_the_run_and_changes_nothing(run):
    path, _ = run
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    saved = load_model(path)
    assert set(saved.params) >= STATISTICS
    curve = evaluate_model(saved).curve
    with (path / "evaluation.csv").open() as file:
        recorded = [
            float(row["episode_return"])
            for row in csv.DictReader(file)
            if (row["split"], int(row["meta_iteration"])) == ("test", saved.meta_iteration)
        ]
    assert np.array_equal(curve.value.ravel(), recorded)
    assert np.array_equal(evaluate_model(saved).curve.value, curve.value)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert evaluate_model(untrained_model(saved)).curve.score < 0
    # They matter: with those of no step at all, the same parameters do something else.
    params, _ = split_moments(saved.params)
    without = untrained_model(saved).params | params
    other = evaluate_model(replace(saved, params=without)).curve
    assert not np.array_equal(other.value, curve.value)


def meta_rl(*arguments: object) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "meta_rl", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def results(path: Path):
    """Tensors, metrics without times, evaluations on validation tasks."""
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: x for name, x in line.items() if "second" not in name} for line in lines]
    rows = (path / "evaluation.csv").read_text().splitlines()
    model = checkpoint_path(path, 4) / "model.safetensors"
    return model.read_bytes(), metrics, [row for row in rows if ",validation," in row]


def test_resumed_in_another_process_it_ends_bit_identical(run, tmp_path):
    path, _ = run
    resumed = tmp_path / "run"
    meta_rl("train", "smoke", *NORMALISED, f"run.dir={resumed}", "run.meta_iterations=2")
    meta_rl("train", "--resume", resumed, "run.meta_iterations=4")
    assert results(resumed) == results(path)


def test_the_commands_take_such_a_run(run, tmp_path):
    path, _ = run
    for command, *options in (
        ("evaluate", "--reference", "random", "--out", tmp_path / "evaluated"),
        ("visualize", "--no-video", "--out", tmp_path / "drawn"),
        ("report", "--out", tmp_path / "report.html"),
    ):
        arguments = [command, path, "--steps", 1, "--num-tasks", 2, *options]
        app([str(argument) for argument in arguments], standalone_mode=False)
    assert (tmp_path / "evaluated" / "summary.json").is_file()
    assert (tmp_path / "drawn" / "trajectories.png").is_file()
    assert (tmp_path / "report.html").is_file()


def test_packaged_it_keeps_its_statistics(run, tmp_path):
    file = CHECKOUT / "scripts" / "package_checkpoint.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    packager = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packager)
    path, _ = run
    packaged = load_model(packager.package(path, "normalised", tmp_path))
    saved = load_model(path)
    assert set(packaged.params) == set(saved.params) >= STATISTICS
    curve = evaluate_model(packaged).curve
    assert np.array_equal(curve.value, evaluate_model(saved).curve.value)


def test_a_run_goes_on_as_it_began(run, tmp_path):
    path, _ = run
    config = load_config(str(path / "config.yaml"), ["policy.normalise_observations=false"])
    longer = config.model_copy(update={"run": config.run.model_copy(update={"meta_iterations": 5})})
    with pytest.raises(CheckpointError, match=r"with another policy.normalise_observations: True"):
        resume_run(path, longer, Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def played():
    """Two adaptation steps of 2D navigation under far-off statistics."""
    moments = Moments(
        torch.tensor(100.0, dtype=torch.float64),
        torch.tensor([0.3, -0.2], dtype=torch.float64),
        torch.tensor([25.0, 0.04], dtype=torch.float64),
    )
    config = load_config("smoke", [*NORMALISED, "adaptation.num_adaptation_steps=2"])
    with single_torch_thread(), RLProblem(config) as problem:
        normaliser = observation_normaliser(moments, problem.device)
        state = replace(problem.initial_state(), observation_moments=moments)
        play = problem._play(state, StageClock(problem.device))
        adaptation = problem.algorithm.collect_and_adapt
        seen, batches = adaptation(state.params, play, 2)
        batches.append(adaptation.batch(seen[-1]))
    return problem.policy, state.params, normaliser, play.episodes, batches


def test_likelihood_ratios_are_those_of_what_the_policy_saw(played):
    policy, params, normaliser, episodes, batches = played
    for rollouts, batch in zip(episodes, batches, strict=True):
        assert torch.equal(batch.observation, normaliser(rollouts.observation))
    assert batches[0].observation.abs().max() > 2 * episodes[0].observation.abs().max()
    new = action_distribution(policy, params, batches[0].observation)
    assert_close(new.log_prob(batches[0].action), batches[0].old_log_prob, rtol=1e-5, atol=1e-5)
    raw = action_distribution(policy, params, episodes[0].observation)
    assert not torch.allclose(raw.log_prob(batches[0].action), batches[0].old_log_prob, atol=1e-3)


def test_the_baseline_sees_what_the_policy_sees(played):
    *_, normaliser, episodes, batches = played
    rollouts = replace(episodes[0], observation=normaliser(episodes[0].observation))
    seen = policy_gradient_batch(rollouts, discount_factor=0.99, gae_lambda=1.0)
    assert torch.equal(seen.advantage, batches[0].advantage)


def test_statistics_do_not_change_within_a_meta_iteration():
    config = load_config("smoke", [*NORMALISED])
    with RLProblem(config) as problem:
        state = problem.initial_state()
        problem.meta_iteration(state, StageClock(problem.device))
        for entry, expected in zip(state.observation_moments, no_moments(2), strict=True):
            assert torch.equal(entry, expected)
