"""Whole runs on a GPU: bit for bit after a stop, compiled, without memory, on several GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from meta_rl.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.cuda
CHECKOUT = Path(__file__).parents[2]
SMALL = (
    *("rollout.meta_batch_size=8", "rollout.episodes_per_task=4", "rollout.horizon=20"),
    *("evaluation.num_tasks=4", "evaluation.episodes_per_task=2", "evaluation.every=2"),
    *("run.checkpoint_every=1", "run.meta_iterations=4", "run.device=cuda"),
)
# Where a program around this one lets products lose precision, this one does not.
TF32_ELSEWHERE = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
TIMES = ("env_steps_per_second", "seconds_", "iterations_per_second")


def train(*arguments: object, launcher: tuple[str, ...] = (), **environment: str):
    command = [sys.executable, *launcher, "-m", "meta_rl", "train", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def trained(*arguments: object, **options) -> str:
    result = train(*arguments, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def metrics(path: Path) -> list[dict]:
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith(TIMES)}
        for line in (path / "metrics.jsonl").read_text().splitlines()
    ]


def assert_same(one: Path, other: Path) -> None:
    params, others = load_checkpoint(one).params, load_checkpoint(other).params
    assert all(torch.equal(params[name], others[name]) for name in params)
    assert metrics(one) == metrics(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four meta-iterations that nothing stops."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    output = trained("navigation", *SMALL, f"run.dir={path}")
    assert "on cuda:0" in output
    assert "one by one" not in output
    return path


def test_four_iterations_are_two_and_two(whole: Path, tmp_path: Path):
    parts = tmp_path / "parts"
    trained("navigation", *SMALL, f"run.dir={parts}", "run.meta_iterations=2", **TF32_ELSEWHERE)
    trained("--resume", parts, "run.meta_iterations=4")
    assert_same(whole, parts)
    for path in (whole, parts):
        facts = json.loads((path / "run.json").read_text())
        assert facts["float32_matmul_precision"] == "highest"
        assert facts["hardware"]["gpu"] == torch.cuda.get_device_name()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_compiled_run_resumes_bit_for_bit(tmp_path: Path):
    settings = (*SMALL, "run.compile=true")
    compiled, parts = tmp_path / "compiled", tmp_path / "parts"
    output = trained("navigation", *settings, f"run.dir={compiled}")
    assert "Compiling the meta-update" in output
    assert "uncompiled" not in output and "one by one" not in output
    trained("navigation", *settings, f"run.dir={parts}", "run.meta_iterations=2")
    trained("--resume", parts, "run.meta_iterations=4")
    assert_same(compiled, parts)


LIMITED = """
import sys, torch
from meta_rl.cli import main
from meta_rl.algorithms.maml_trpo import MamlTrpo

update, calls = MamlTrpo.update, []

def limited(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:
        # What is free in the pools may not be enough either.
        torch.cuda.empty_cache()
        held = torch.cuda.memory_allocated() / torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(held)
        torch.ones(2**28, device="cuda")
    return update(*arguments, **options)

MamlTrpo.update = limited
sys.argv = ["meta-rl", "train", *sys.argv[1:]]
main()
"""


def test_too_little_memory_is_one_sentence_and_loses_nothing(whole: Path, tmp_path: Path):
    path = tmp_path / "run"
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, "navigation", *SMALL, f"run.dir={path}"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("Error: there is not enough memory; a smaller meta_update.steps_per")
    assert load_checkpoint(path).meta_iteration == 1
    trained("--resume", path)
    assert_same(whole, path)


def test_as_many_ranks_as_gpus(whole: Path, tmp_path: Path):
    """Through NCCL where there are several; one rank where there is one."""
    path, num_ranks = tmp_path / "run", min(4, torch.cuda.device_count())
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks))
    trained("navigation", *SMALL, f"run.dir={path}", launcher=launcher)
    if num_ranks == 1:
        assert_same(whole, path)
        return
    params, others = load_checkpoint(whole).params, load_checkpoint(path).params
    for name, value in params.items():
        torch.testing.assert_close(others[name], value, rtol=1e-2, atol=1e-3)
