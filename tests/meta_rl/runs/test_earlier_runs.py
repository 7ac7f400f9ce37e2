"""Runs of the version before algorithms were files: they load, go on and are scored as now.

Each was trained for two iterations on the CPU with small networks. What goes on from there is what
this version makes from the start, to rounding.
"""

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from meta_rl.config import changed_settings, load_config
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import load_model
from meta_rl.problems.registry import make_problem
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runs.trainer_state import restore, scored_otherwise
from meta_rl.training.jobs import resume_run, start_run

RUNS = Path(__file__).with_name("earlier_runs")
ALGORITHMS = {"smoke": "maml_trpo", "sine": "maml", "sine_reptile": "reptile"}


@pytest.fixture(autouse=True)
def _one_thread():
    with single_torch_thread():
        yield


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS / request.param, tmp_path / request.param))


EVERY_RUN = pytest.mark.parametrize("run", ALGORITHMS, indirect=True)


@EVERY_RUN
def test_its_settings_have_their_present_names(run: Path):
    config = load_config(str(run / "config.yaml"))
    assert config.algorithm.name == ALGORITHMS[run.name]
    assert config.run.meta_batch_size == 3
    # Where it was is left out of a run's own settings.
    assert {*changed_settings(load_checkpoint(run).config, config)} <= {"run.dir"}


@EVERY_RUN
def test_it_goes_on_as_if_this_version_had_trained_it(run: Path, tmp_path: Path):
    config = load_config(str(run / "config.yaml"), ["run.meta_iterations=4"])
    shown = io.StringIO()
    resume_run(run, config, Console(file=shown, width=200))
    label = config.run.model_copy(update={"dir": str(tmp_path / "whole")})
    start_run(config.model_copy(update={"run": label}), "whole", Console(file=io.StringIO()))
    resumed, whole = load_checkpoint(run), load_checkpoint(tmp_path / "whole")
    assert resumed.meta_iteration == whole.meta_iteration == 4
    assert_close(resumed.params, whole.params, rtol=1e-3, atol=1e-4)
    memories = [loaded.trainer_state["memory"] for loaded in (resumed, whole)]
    assert_close(*memories, rtol=1e-2, atol=1e-4)
    assert bool(memories[0]) == (run.name != "smoke")
    # Supervised scores were of the last step alone.
    again = "validated again" in shown.getvalue()
    assert again == (run.name != "smoke")
    last = [json.loads((path / "best.json").read_text()) for path in (run, tmp_path / "whole")]
    assert last[0]["meta_iteration"] == last[1]["meta_iteration"]
    assert last[0]["score"] == pytest.approx(last[1]["score"], rel=1e-2)


@EVERY_RUN
def test_the_sums_of_a_line_are_gone_on_with(run: Path):
    checkpoint = load_checkpoint(run)
    assert scored_otherwise(checkpoint) == (run.name != "smoke")
    with make_problem(checkpoint.config) as problem:
        state = restore(checkpoint, problem.initial_state(), torch.device("cpu"))
    if run.name == "smoke":
        assert state.num_summed == 0
        assert state.env_steps > 0
    else:
        assert state.num_summed == checkpoint.trainer_state["loss_count"]
        assert state.learned.memory["num_steps"] > 0


@EVERY_RUN
def test_it_is_evaluated(run: Path):
    curve = evaluate_model(load_model(run)).curve
    rows = (run / "evaluation.csv").read_text().splitlines()
    found = [float(row.split(",")[-1]) for row in rows if row.startswith("2,test,")]
    assert curve.value.ravel().tolist() == pytest.approx(found, rel=1e-3, abs=1e-4)
