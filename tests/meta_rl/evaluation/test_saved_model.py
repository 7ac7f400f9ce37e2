"""What a run has left behind is what it reported."""

import csv

import numpy as np
import pytest
from rich.console import Console

from meta_rl.config import load_config
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import load_model
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.training.jobs import start_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    config = load_config("smoke", [f"run.dir={path}", "run.meta_iterations=4", "run.device=cpu"])
    with single_torch_thread():
        start_run(config, "smoke", Console(quiet=True))
    return path


def test_the_best_policy_repeats_the_test_returns_of_its_run_bit_for_bit(run):
    saved = load_model(run)
    with single_torch_thread():
        evaluation = evaluate_model(saved)
    with (run / "evaluation.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["split"] == "test" and int(row["meta_iteration"]) == saved.meta_iteration
        ]
    recorded = np.array([float(row["episode_return"]) for row in rows])
    assert np.array_equal(evaluation.curve.value.ravel(), recorded)


def test_given_tasks_take_the_place_of_the_test_tasks(run):
    tasks = np.array([[0.1, 0.2], [0.3, -0.4], [0.0, 0.5]])
    with single_torch_thread():
        evaluation = evaluate_model(load_model(run), tasks)
    assert np.array_equal(evaluation.curve.task, tasks)
    num_steps, num_episodes = evaluation.curve.value.shape[1:]
    assert evaluation.reset_seeds.shape == (num_steps, 3, num_episodes)
    assert evaluation.env_steps.shape == (num_steps, 3)
    taken = [int(rollouts.valid.sum()) for rollouts in evaluation.episodes]
    assert evaluation.env_steps.sum(1).tolist() == taken
