"""The one command for a machine with a GPU: rehearsed without one."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from gpu_check import environment
from gpu_check.environment import SetupError, make_environment, needed_requirements
from gpu_check.journal import Journal
from gpu_check.main import PARTS, SECONDS
from gpu_check.part_process import run_part
from gpu_check.table import LINES, NOT_MEASURED, table

ROOT = Path(__file__).parents[1]


def check_gpu(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / "check_gpu"), *map(str, arguments)],
        env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dry_run_does_everything(tmp_path: Path):
    result = check_gpu("--dry-run", "--out", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"gpu_check.json", "gpu_check.log"}
    check = json.loads((tmp_path / "gpu_check.json").read_text())
    parts = check["parts"]
    assert list(parts) == list(PARTS)
    assert {part["status"] for part in parts.values()} == {"finished"}
    if not torch.cuda.is_available():
        outcomes = {t["outcome"] for t in parts["tests"]["results"]["tests"].values()}
        assert outcomes == {"skipped"}
    rows = parts["speed"]["results"]["rows"]
    assert set(rows) == {"navigation", "half_cheetah", "sine", "omniglot"}
    assert rows["half_cheetah"]["cpu"]["sampler_over_physics"] > 0.0
    assert len(parts["navigation"]["results"]["test_return"]["untrained"]) == 4
    assert parts["half_cheetah"]["results"]["meta_iterations"] == 2
    text = table(tmp_path / "gpu_check.json")
    unmeasured = [line for line in text.splitlines() if line.count(NOT_MEASURED) == 2]
    assert [line.split(" | ")[0] for line in unmeasured] == [
        "| the same, compiled: iterations/s (aim 150)"
    ]
    assert torch.__version__ in text.splitlines()[-1]
    assert "navigation: finished" in (tmp_path / "gpu_check.log").read_text()


def test_what_such_a_machine_lacks():
    needed = {line.split("==")[0]: line.split("==")[1] for line in needed_requirements()}
    assert {"mujoco", "gymnasium", "pydantic", "pytest", "pytest-timeout"} <= set(needed)
    unwanted = {"torch", "numpy", "matplotlib", "safetensors", "wandb", "av", "sympy", "contourpy"}
    assert not unwanted & set(needed)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_sentence(tmp_path: Path):
    result = check_gpu("--out", tmp_path)
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert "finds no CUDA device here; --dry-run needs none" in sentence
    assert not list(tmp_path.iterdir())


def test_the_parts_have_less_than_six_minutes():
    *limited, last = PARTS.values()
    assert sum(limited) + 30.0 < SECONDS < 360.0
    assert last >= SECONDS


REPORTS_AND_HANGS = """
import subprocess, sys, time
print('..@result {"rows": {"navigation": {"cpu": {"x": 1}}}}', flush=True)
print('@result {"rows": {"navigation": {"cuda": {"x": 2}}}}', flush=True)
print("and words", flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print('@result {"child": %d}' % child.pid, flush=True)
time.sleep(1000)
"""


def test_a_part_that_takes_too_long_is_ended_and_keeps_what_it_measured(tmp_path: Path):
    journal = Journal(tmp_path, gpu="none")
    run_part(journal, "speed", [sys.executable, "-c", REPORTS_AND_HANGS], ROOT, os.environ, 15.0)
    check = json.loads((tmp_path / "gpu_check.json").read_text())
    part = check["parts"]["speed"]
    assert check["gpu"] == "none"
    assert part["status"].startswith("cut off after 1")
    assert part["results"]["rows"] == {"navigation": {"cpu": {"x": 1}, "cuda": {"x": 2}}}
    assert "and words" in (tmp_path / "gpu_check.log").read_text()
    deadline = time.monotonic() + 10.0
    while _is_running(part["results"]["child"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_part_that_fails_says_so(tmp_path: Path):
    journal = Journal(tmp_path)
    command = [sys.executable, "-c", "print('@result {\"x\": 1}'); raise SystemExit(3)"]
    run_part(journal, "speed", command, ROOT, os.environ, 60.0)
    part = json.loads((tmp_path / "gpu_check.json").read_text())["parts"]["speed"]
    assert part["status"] == "failed with status 3"
    assert part["results"] == {"x": 1}


def tiny_wheel(folder: Path) -> None:
    """A module ``tiny_thing``, as pip installs it."""
    info = "tiny_thing-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_thing.py", "")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny_thing\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def test_an_environment_uses_the_torch_of_the_one_that_made_it(tmp_path: Path, monkeypatch):
    """Also where that is itself a virtual environment, and nothing comes from a network."""
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "venv")
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(variable, "http://localhost:1/simple")
    with pytest.raises(SetupError, match="no wheels"):
        make_environment(tmp_path)
    tiny_wheel(tmp_path)
    python = make_environment(tmp_path)
    assert Path(python).is_relative_to(tmp_path)
    program = "import tiny_thing, torch; print(tiny_thing.__file__, torch.__file__)"
    ours, theirs = subprocess.check_output([python, "-c", program], text=True).split()
    assert Path(ours).is_relative_to(tmp_path)
    assert theirs == torch.__file__


def test_a_table_of_everything(tmp_path: Path):
    keys = ("seconds_update", "seconds_whole", "sampler_over_physics", "peak_memory_gib")
    keys += ("meta_iteration_over_physics", "peak_device_memory_gib", "iterations_per_second")
    row = dict.fromkeys(keys, 0.25)
    machine = {
        "hardware": {"gpu": "a GPU", "cpu": "a CPU", "num_cpus": 16},
        "versions": {"torch": "2.11.0"},
        "git": None,
        "start_time": "2026-12-01T00:00:00",
    }
    results = {
        "speed": {"rows": {name: {"cpu": row, "cuda": row} for name, *_ in LINES}},
        "navigation": {
            "seconds_training": 21.4,
            "meta_iterations": 80,
            "test_return": {"untrained": [-70.0], "iteration 80": [-35.0, -10.5, -2.25]},
        },
        "half_cheetah": {"seconds_training": 30.0, "meta_iterations": 20},
        "tests": {
            "machine": machine,
            "tests": {"a": {"outcome": "passed"}, "b": {"outcome": "failed"}},
        },
    }
    file = tmp_path / "gpu_check.json"
    parts = {name: {"results": result} for name, result in results.items()}
    file.write_text(json.dumps({"parts": parts, "seconds": 300.0}))
    text = table(file)
    assert NOT_MEASURED not in text
    assert "| 2D navigation: update, ms (aim 15) | 250 | 250 |" in text
    assert "| -35.00, -10.50, -2.25 |" in text
    assert "| 1 passed, 1 failed |" in text
    assert text.endswith(
        "a GPU, a CPU, 16 CPUs, torch 2.11.0, 2026-12-01; medians, in one run of 300 s."
    )
