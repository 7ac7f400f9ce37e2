"""Training that is killed loses nothing: the short form of scripts/kill_and_resume.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "options",
    [
        ("--kills", "50"),
        ("--kills", "6", "--preset", "half_cheetah_vel", "--threads", "2"),
    ],
    ids=["smoke", "half-cheetah"],
)
def test_nothing_is_lost_and_nothing_doubled_however_often_a_run_is_killed(options):
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "kill_and_resume.py"), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"},
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing lost, nothing doubled" in result.stdout
