"""The scripts behind the results: what they train, what they do not train again, what they show."""

import json
import sys
from pathlib import Path

import numpy as np
import plot_results as plot
import pytest
import reproduce_maml_rl as script

from meta_rl.runs.evaluation_table import read_test_curves

TINY = (
    *("run.meta_iterations=2", "rollout.meta_batch_size=2", "rollout.episodes_per_task=3"),
    *("rollout.horizon=5", "rollout.num_threads=1", "evaluation.every=1", "evaluation.num_tasks=3"),
    *(
        "evaluation.episodes_per_task=4",
        "policy.hidden_sizes=[4]",
        "meta_update.curvature_stride=1",
    ),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run_script(*methods: str, settings: tuple[str, ...] = ()) -> dict[str, dict]:
        places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
        options = ["--methods", *methods, "--set", *TINY, *settings]
        monkeypatch.setattr(sys, "argv", ["reproduce_maml_rl.py", "navigation", *options, *places])
        script.main()
        files = (tmp_path / "results" / f"navigation-{method}.json" for method in methods)
        return {
            m: json.loads(f.read_text())["runs"]["1"] for m, f in zip(methods, files, strict=True)
        }

    return run_script


def test_every_method_is_adapted_to_the_same_tasks_as_evaluate_would(run, tmp_path: Path):
    results = run(*script.METHODS)
    for method, result in results.items():
        assert np.shape(result["task_return"]) == (3, 1 if method == "oracle" else 5), method
        assert result["iteration_kept"] == 0 or method != "random"
        if method in ("random", "oracle"):
            continue
        assert result["env_steps_to_adapt"][0] == 0
        assert result["learning"]["meta_iteration"] == [1, 2]
        assert np.shape(result["learning"]["validation_return"]) == (2, 4)
        file = tmp_path / "runs" / f"navigation-{method}-seed1" / "evaluation.csv"
        ended_with = read_test_curves(file)[result["iteration_kept"]].task_value
        np.testing.assert_allclose(np.array(result["task_return"])[:, :4], ended_with, atol=0.00501)
    assert results["random"]["env_steps"] == 0 < results["maml"]["env_steps"]
    # As training begins where the untrained policy is.
    untrained = read_test_curves(tmp_path / "runs" / "navigation-maml-seed1" / "evaluation.csv")[0]
    np.testing.assert_allclose(
        np.array(results["random"]["task_return"])[:, :4],
        untrained.task_value,
        atol=0.00501,
    )


def test_a_finished_training_is_left_alone_and_a_shorter_one_goes_on(run, tmp_path: Path):
    run("maml", settings=("run.meta_iterations=1",))
    folder = tmp_path / "runs" / "navigation-maml-seed1"
    longer = run("maml")["maml"]
    assert longer["meta_iterations"] == 2
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(json.loads((folder / "run.json").read_text())["resumed"]) == 1
    assert run("maml")["maml"] == longer
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_run_with_other_settings_is_not_taken_for_this_one(
    run, capsys: pytest.CaptureFixture[str]
):
    run("maml")
    with pytest.raises(SystemExit):
        run("maml", settings=("adaptation.inner_step_size=0.3",))
    error = capsys.readouterr().err
    assert "is a run with another adaptation.inner_step_size; move it" in error
    assert error.count("\n") == 1


def test_the_tables_hold_means_intervals_every_seed_and_the_paper(tmp_path: Path):
    cost = {"meta_iterations": 9, "iteration_kept": 7, "env_steps": 3e6, "training_seconds": 120}
    for seed, returns in ((2, [[-30, -3], [-34, -5]]), (1, [[-40, -2], [-40, -2]])):
        result = {"task_return": returns, "git": {"commit": "0123456789"}, **cost}
        script.write_result(tmp_path / "navigation-maml.json", seed, result)
    script.write_result(tmp_path / "navigation-oracle.json", 1, result)
    rows = script.table(tmp_path).splitlines()
    # (32 + 40) / 2 and (4 + 2) / 2; resamples of two seeds reach from one to the other.
    assert rows[2] == (
        "| navigation | maml | 2 | -36.0 [-40.0, -32.0] | -3.00 [-4.00, -2.00] |  |  |  "
        "| 3 M | 2 min | 0123456 |"
    )
    assert rows[3].startswith("| | the paper's maml | 1 | -40.4 | -11.7 ±2.2 | -3.33 ±0.55 |")
    assert rows[4].startswith("| navigation | oracle | 1 | -40.0 ±0.0 | -2.00 ±0.00 |")
    # The standard deviation of -3 and -5 is sqrt(2), of their mean 1.
    assert "| navigation | maml | 1: -2.00 ±0.00 at 7, 2: -4.00 ±1.96 at 7 |" in rows
    assert list(script.read_results(tmp_path / "navigation-maml.json")) == ["1", "2"]
    assert rows[0].count("|") == rows[1].count("|") == rows[2].count("|") == rows[3].count("|")


def test_the_picture_has_a_panel_for_each_environment_with_a_training(tmp_path: Path):
    learning = {"env_steps": [1e6, 2e6], "validation_return": [[-9, -8, -7, -6], [-5, -4, -3, -2]]}
    script.write_result(tmp_path / "navigation-maml.json", 1, {"learning": learning})
    script.write_result(tmp_path / "half_cheetah_vel-random.json", 1, {})
    (panel,) = plot.learning_figure(tmp_path, plot.drawn_presets(tmp_path)).axes
    returns, paper = panel.get_lines()
    assert returns.get_xydata().tolist() == [[1, -6], [2, -2]]
    assert set(paper.get_ydata()) == {-3.23}
