"""Training that is killed loses nothing: the short form of scripts/kill_and_resume.py."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_nothing_is_lost_and_nothing_doubled_however_often_a_run_is_killed():
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "kill_and_resume.py"), "--kills", "50"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing lost, nothing doubled" in result.stdout
