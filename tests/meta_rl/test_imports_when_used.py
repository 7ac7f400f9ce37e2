"""wandb and av are imported by what uses them alone: without them everything else works."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
# Importing a module that sys.modules says is None is an ImportError, as for one that is not there.
WITHOUT = """
import sys
sys.modules.update(wandb=None, av=None)
from meta_rl.cli import main
sys.argv[0] = "meta-rl"
main()
"""


def run_without(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, arguments)],
        cwd=CHECKOUT,
        env={"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_training_and_what_is_done_with_a_run(tmp_path: Path):
    path = tmp_path / "run"
    for arguments in (
        ("train", "smoke", f"run.dir={path}", "run.meta_iterations=2", "run.device=cpu"),
        ("evaluate", path, "--num-tasks", 2, "--out", tmp_path / "evaluation"),
        ("visualize", path, "--no-video", "--out", tmp_path / "figures"),
    ):
        result = run_without(*arguments)
        assert result.returncode == 0, (arguments, result.stdout, result.stderr)
