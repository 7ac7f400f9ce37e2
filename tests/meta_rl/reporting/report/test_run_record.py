"""A run directory is told as it is, damaged or unfinished."""

import json
from pathlib import Path

import pytest

from meta_rl.config import load_config
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.reporting.report.learning_data import learning_data
from meta_rl.reporting.report.run_record import read_run
from meta_rl.reporting.report.settings_data import run_data, settings_data


def metrics_line(iteration, **entries):
    return json.dumps({"meta_iteration": iteration, "env_steps": 100 * iteration} | entries)


TWO_ITERATIONS = [
    metrics_line(1, train_return=[-3.0, -2.0], train_return_interval=[0.5, None], accepted=True),
    metrics_line(
        2,
        train_return=[-2.5, -1.0],
        train_return_interval=[0.4, 0.3],
        accepted=False,
        validation_return=[-2.0, -1.5, -1.0],
        validation_return_interval=[0.1, 0.1, 0.1],
        seconds_total=7.0,
    ),
]
FACTS = {
    "start_time": "2026-01-01T00:00:00+00:00",
    "git": {"commit": "0123456789abcdef", "dirty": True},
    "versions": {"torch": "2.12"},
    "hardware": {"cpu": "A CPU", "num_cpus": 2, "gpu": None},
}


@pytest.fixture
def saved(tmp_path: Path):
    run = tmp_path / "run"
    (run / "checkpoints" / "iteration_000002").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(FACTS))
    (run / "metrics.jsonl").write_text("\n".join(TWO_ITERATIONS) + "\n")
    return SavedModel(run, 2, {}, load_config("navigation", ["run.meta_iterations=5"]))


def test_learning_curves_are_the_metrics(saved):
    curves = learning_data(read_run(saved))
    assert curves["training"] == {
        "quantity": "return",
        "steps": [0, 1],
        "meta_iteration": [1, 2],
        "env_steps": [100, 200],
        "mean": [[-3.0, -2.5], [-2.0, -1.0]],
        "interval": [[0.5, 0.4], [None, 0.3]],
    }
    assert curves["validation"]["meta_iteration"] == [2]
    assert curves["validation"]["mean"] == [[-2.0], [-1.5], [-1.0]]


def test_a_run_is_finished_when_it_has_made_all_its_iterations(saved):
    assert read_run(saved).completed_iterations == 2
    assert not read_run(saved).is_finished
    with (saved.path / "metrics.jsonl").open("a") as file:
        file.write(metrics_line(5) + "\n")
    assert read_run(saved).is_finished


def test_a_checkpoint_stands_for_its_run(saved):
    checkpoint = SavedModel(saved.path / "checkpoints" / "iteration_000002", 2, {}, saved.config)
    assert read_run(checkpoint).name == "run"
    assert read_run(checkpoint).metrics == read_run(saved).metrics


def test_facts_are_told_in_words(saved):
    facts = dict(run_data(read_run(saved))["facts"])
    assert facts["Commit"] == "0123456789, with changes"
    assert facts["CPU"] == "A CPU, 2 CPUs"
    assert facts["GPU"] == "none"
    assert facts["Meta-iterations"] == "2 of 5"
    assert facts["Line searches that found a step"] == "1 of 2"
    assert facts["Training time"] == "7 s"


def test_damage_is_told_and_the_rest_remains(saved):
    (saved.path / "run.json").unlink()
    torn = [TWO_ITERATIONS[0], "{", "[1]", TWO_ITERATIONS[1][:40]]
    (saved.path / "metrics.jsonl").write_text("\n".join(torn))
    record = read_run(saved)
    assert [entry["meta_iteration"] for entry in record.metrics] == [1]
    assert len(record.warnings) == 2
    assert "run.json" in record.warnings[0]
    assert "3 lines are damaged" in record.warnings[1]
    assert dict(run_data(record)["facts"])["CPU"] == "not known"


def test_no_metrics_are_no_curves(saved):
    (saved.path / "metrics.jsonl").unlink()
    record = read_run(saved)
    assert learning_data(record)["training"]["meta_iteration"] == []
    assert record.completed_iterations == 2


def test_losses_of_a_supervised_run_are_its_curves(saved):
    lines = [
        {"meta_iteration": 100, "train_loss": 3.5, "update_norm": 0.25},
        {
            **{"meta_iteration": 200, "train_loss": 3.0, "update_norm": 0.5},
            "validation_loss": [4.0, *[2.0] * 9, 1.0],
            "validation_loss_interval": [0.5] * 11,
        },
    ]
    (saved.path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    record = read_run(SavedModel(saved.path, 200, {}, load_config("sine")))
    curves = learning_data(record)
    assert curves["training"] == {
        **{"quantity": "loss", "steps": None, "meta_iteration": [100, 200]},
        **{"env_steps": [None, None], "mean": [[3.5, 3.0]], "interval": [[None, None]]},
    }
    assert curves["validation"]["steps"] == [0, 1, 2, 5, 10]
    assert curves["validation"]["mean"] == [[4.0], [2.0], [2.0], [2.0], [1.0]]
    assert curves["diagnostics"]["update_norm"] == [0.25, 0.5]
    facts = dict(run_data(record)["facts"])
    assert (facts["Tasks"], facts["Algorithm"]) == ("sinusoids", "maml")
    assert not {"Environment steps", "Line searches that found a step"} & set(facts)


def test_runs_of_different_algorithms_show_the_settings_of_both():
    configs = [load_config(name) for name in ("sine", "sine_reptile")]
    settings = {entry["name"]: entry for entry in settings_data(configs)}
    assert settings["algorithm.name"]["values"] == ["maml", "reptile"]
    assert settings["adaptation.first_order"]["values"] == ["false", "\u2013"]
    assert settings["run.seed"]["values"] == ["0"]


def test_settings_say_where_runs_differ():
    configs = [load_config("navigation", [f"run.seed={seed}"]) for seed in (1, 2)]
    settings = {entry["name"]: entry for entry in settings_data(configs)}
    assert settings["run.seed"]["values"] == ["1", "2"]
    assert settings["rollout.horizon"]["values"] == ["100"]
    assert "run.dir" not in settings
    assert all(entry["description"] for entry in settings.values())
