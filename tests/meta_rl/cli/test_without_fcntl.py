"""What there is of Windows to try on another system: Python without the module fcntl."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
COMMAND = """
import sys

sys.modules["fcntl"] = None
from meta_rl.cli import main

main()
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [["train", "smoke", "run.dir=run"], ["sweep", "smoke", "run.seed=1..2"]]
)
def test_training_says_what_it_needs(tmp_path: Path, arguments: list[str]):
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: training needs Linux or macOS"), done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("run*")), "and leaves no run behind"
    assert not list(tmp_path.glob(".*"))


def test_policies_are_evaluated_and_shown(tmp_path: Path):
    settings = ["--steps", "1", "--out"]
    done = run(tmp_path, "evaluate", "pretrained/navigation", *settings, "evaluated")
    assert (done.returncode, done.stderr) == (0, "")
    shown = ["visualize", "pretrained/navigation", "--no-video", "--num-tasks", "1"]
    done = run(tmp_path, *shown, *settings, "shown")
    assert (done.returncode, done.stderr) == (0, "")
