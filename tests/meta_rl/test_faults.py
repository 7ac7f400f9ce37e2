"""The command where the machine fails it: full disks, lost folders, too little memory."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from meta_rl.algorithms.maml_trpo import MamlTrpo
from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import find_checkpoints, load_checkpoint
from meta_rl.training.jobs import resume_run, start_run

CHECKOUT = Path(__file__).parents[2]
SETTINGS = ("smoke", "run.device=cpu", "run.meta_iterations=12", "evaluation.every=0")


def command(*arguments: str, largest_file: int) -> subprocess.CompletedProcess[str]:
    """``meta-rl`` in a process that cannot write a file beyond a number of bytes."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file}, resource.RLIM_INFINITY))\n"
        "from meta_rl.cli import main\n"
        "main()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
    )


def numbers(run: Path) -> tuple[Any, ...]:
    """All numbers of a run but those of a clock."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: x for name, x in line.items() if "second" not in name} for line in lines]
    last = find_checkpoints(run)[-1] / "model.safetensors"
    return metrics, (run / "evaluation.csv").read_bytes(), last.read_bytes()


def test_a_metrics_file_that_cannot_grow_stops_the_run_and_is_not_torn(tmp_path: Path):
    run = tmp_path / "run"
    result = command("train", *SETTINGS, f"run.dir={run}", largest_file=4_500)
    assert result.returncode == 1
    assert result.stderr == f"Error: {run / 'metrics.jsonl'} cannot be written: File too large\n"
    assert f"Resume with: meta-rl train --resume {run}" in result.stdout
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert 4 < len(lines) < 12
    assert load_checkpoint(run).meta_iteration == len(lines)
    with single_torch_thread():
        console = Console(file=io.StringIO())
        resume_run(run, load_config(str(run / "config.yaml")), console)
        whole = load_config(SETTINGS[0], [*SETTINGS[1:], f"run.dir={tmp_path / 'whole'}"])
        start_run(whole, "smoke", console)
    assert numbers(run) == numbers(tmp_path / "whole")


def test_a_disk_that_is_full_from_the_start_is_left_as_it_was(tmp_path: Path):
    run = tmp_path / "run"
    result = command("train", *SETTINGS, f"run.dir={run}", largest_file=100)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: {run}")
    assert result.stderr.endswith("cannot be written: File too large\n")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def train_here(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    with single_torch_thread(), pytest.raises(SystemExit) as ended:
        app(["train", *map(str, arguments)])
    assert ended.value.code == 1
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_a_run_directory_that_is_deleted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, update = tmp_path / "run", MamlTrpo.update

    def delete(*args: Any, **options: Any) -> Any:
        shutil.rmtree(run)
        return update(*args, **options)

    monkeypatch.setattr(MamlTrpo, "update", delete)
    _, err = train_here(capsys, *SETTINGS, f"run.dir={run}")
    assert err == (
        f"Error: {run} was deleted, moved or replaced while this process was writing it\n"
    )
    assert not run.exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"),
        RuntimeError("[enforce fail at alloc] DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_sentence_with_advice(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
):
    calls, update = [], MamlTrpo.update

    def exhausted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise error
        return update(*args, **options)

    monkeypatch.setattr(MamlTrpo, "update", exhausted)
    out, err = train_here(capsys, *SETTINGS, f"run.dir={tmp_path / 'run'}")
    assert err.startswith("Error: there is not enough memory; a smaller meta_update.steps_per_chu")
    assert err.count("\n") == 1
    assert "2 meta-iterations are saved." in out
    assert load_checkpoint(tmp_path / "run").meta_iteration == 2


def test_other_runtime_errors_are_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(MamlTrpo, "update", broken)
    with single_torch_thread(), pytest.raises(RuntimeError, match="a mistake of ours"):
        app(["train", *SETTINGS, f"run.dir={tmp_path / 'run'}"])
