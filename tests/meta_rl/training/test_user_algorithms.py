"""A user's algorithm is trained, resumed, evaluated, swept and reported like ours."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meta_rl.cli import app
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import load_checkpoint

CHECKOUT = Path(__file__).parents[3]
RL = (
    *("smoke", "algorithm.name=reinforce_algorithm:Reinforce", "run.device=cpu"),
    *("evaluation.num_tasks=2", "evaluation.num_adaptation_steps=2", "rollout.num_threads=1"),
)
SINE = (
    *("sine", "algorithm.name=reinforce_algorithm:Centre", "run.device=cpu", "run.compile=false"),
    *("network.hidden_sizes=[8]", "evaluation.num_tasks=3", "evaluation.num_adaptation_steps=2"),
    *("run.meta_iterations=4", "run.log_every=3", "run.checkpoint_every=2"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user's file is, and commands are called."""
    shutil.copy(Path(__file__).with_name("reinforce_algorithm.py"), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "meta_rl", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def meta_rl(*arguments: object) -> str:
    process = start(*arguments)
    out, err = process.communicate()
    assert process.returncode == 0, (out, err)
    return out


def train(*arguments: object) -> None:
    """In this process, which is faster."""
    with single_torch_thread():
        app(["train", *map(str, arguments)], standalone_mode=False)


def numbers(run: Path) -> tuple[object, ...]:
    """Everything but times."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: x for name, x in line.items() if "second" not in name} for line in lines]
    last = load_checkpoint(run)
    memory = {name: value.tolist() for name, value in last.trainer_state["memory"].items()}
    model = (last.path / "model.safetensors").read_bytes()
    return metrics, memory, model, (run / "evaluation.csv").read_bytes()


@pytest.mark.parametrize("settings", [RL, SINE], ids=["episodes", "examples"])
def test_it_is_trained_and_resumed_to_the_bit(folder: Path, settings: tuple[str, ...]):
    train(*settings, "run.dir=whole", "run.log_every=3")
    train(*settings, "run.dir=parts", "run.log_every=3", "run.meta_iterations=2")
    train("--resume", "parts", "run.meta_iterations=4")
    assert numbers(folder / "parts") == numbers(folder / "whole")
    # The sums of iterations 1 and 2 were kept for the line of iteration 3.
    metrics, memory, *_ = numbers(folder / "whole")
    assert [line["meta_iteration"] for line in metrics if "train_loss" in line][-2:] == [3, 4]
    if settings is RL:
        assert [x * 16 for x in memory["luck"]] != [0, 0]
        assert metrics[-1]["halves"] == 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_takes_it(folder: Path):
    meta_rl("train", *RL, "run.dir=whole")
    process = start("train", *RL, "run.dir=killed", "run.meta_iterations=1000")
    while not (folder / "killed" / "metrics.jsonl").exists() or not (
        (folder / "killed" / "metrics.jsonl").read_text().count("\n") >= 2
    ):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode != 0, err
    reached = load_checkpoint(folder / "killed").meta_iteration
    last = reached + 2
    meta_rl("train", "--resume", "killed", f"run.meta_iterations={last}")
    meta_rl("train", *RL, "run.dir=long", f"run.meta_iterations={last}")
    assert numbers(folder / "killed")[1:3] == numbers(folder / "long")[1:3]
    meta_rl("evaluate", "whole", "killed", "--num-tasks", 2, "--out", "evaluated")
    assert (folder / "evaluated" / "summary.json").is_file()
    meta_rl("report", "whole", "--out", "report.html")
    assert "reinforce_algorithm:Reinforce" in (folder / "report.html").read_text()
    meta_rl("sweep", *RL, "step.size=0.01,0.02", "--dir", "sweep")
    for run in (folder / "sweep").glob("runs/*/evaluation.csv"):
        assert load_checkpoint(run.parent).meta_iteration == 4
    assert len(list((folder / "sweep").glob("runs/*/evaluation.csv"))) == 2


WRONG = {
    "no state": "the state that initial_state returns should be an AlgorithmState of two "
    "dictionaries of tensors, not a dict",
    "no pair": "update should return a state and a mapping of metrics, not a AlgorithmState",
    "a metric that is no number": "the metric shape should be a number, a text, a truth value or "
    "a list of numbers, not a dict",
    "another shape": "update changes the shape of params['log_std'] from (2,) to (1,)",
    "another type": "update changes the type of params['log_std'] from torch.float32 to "
    "torch.float64",
    "another memory": "update changes the shape of memory['more'] from none to (1,)",
    "never plays": "update should play at least once",
    "too few stages": "adapt should return 3 entries of the type RolloutBatch, one for each "
    "adaptation step from 0 on, not 2 entries",
    "rewards": "adapt should return 3 entries of the type RolloutBatch, one for each adaptation "
    "step from 0 on, not 3 entries",
    "not for every task": "play was called with the parameter log_std of shape (2,), where (3, 2) "
    "belongs",
}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that a training ends with."""
    with single_torch_thread(), pytest.raises(SystemExit) as ended:
        app(["train", *arguments])
    assert ended.value.code == 1
    (*_, sentence) = capsys.readouterr().err.splitlines()
    return sentence


@pytest.mark.parametrize("fault", WRONG)
def test_what_it_returns_wrongly_is_one_sentence(folder: Path, capsys, fault: str):
    sentence = refused(capsys, *RL, f"step.fault={fault}", "run.dir=run", "evaluation.every=1")
    assert WRONG[fault] in sentence
    assert "algorithm.name=reinforce_algorithm:Reinforce: " in sentence


def test_what_it_learns_is_finite_or_refused(folder: Path, capsys):
    sentence = refused(capsys, *RL, "step.fault=not finite", "run.dir=run")
    assert sentence.endswith(
        "meta-iteration 1: meta-update: the meta-parameter log_std is not finite"
    )


def test_wrong_stages_of_examples_are_one_sentence(folder: Path, capsys):
    sentence = refused(capsys, *SINE, "step.fault=too few stages", "run.dir=run")
    assert "adapt should return 3 entries of the type Tensor" in sentence


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ("algorithm.name=reinforce_algorithm:WithoutUpdate",),
            "algorithm.name=reinforce_algorithm:WithoutUpdate: the class has no method update",
        ),
        (
            ("algorithm.name=reinforce_algorithm:Nothing",),
            "reinforce_algorithm has no class Nothing",
        ),
        (("algorithm.name=nowhere:Nothing",), "algorithm.name=nowhere:Nothing cannot be imported"),
        (
            ("algorithm.name=reinforce_algorithm:Centre",),
            "learns from examples, and these tasks give episodes",
        ),
        (("step.size=0.01", "step.smallest=0.1"), "step.size should not be smaller than"),
        (("step.size=-1",), "step.size"),
        (("step.sise=1",), "step.sise"),
        (("meta_update.max_kl=1",), "meta_update"),
    ],
)
def test_wrong_settings_are_refused(folder: Path, capsys, settings, message: str):
    assert message in refused(capsys, *RL, *settings, "run.dir=run")
    assert not (folder / "run").exists()


def test_a_checkpoint_of_another_algorithm_is_refused(folder: Path, capsys):
    train("smoke", "run.device=cpu", "run.meta_iterations=1", "run.dir=run")
    name = "reinforce_algorithm:Reinforce"
    sentence = refused(
        *(capsys, "--resume", "run", f"algorithm.name={name}", "run.meta_iterations=2")
    )
    assert sentence.endswith(f"was trained with another algorithm.name: maml_trpo, not {name}")
