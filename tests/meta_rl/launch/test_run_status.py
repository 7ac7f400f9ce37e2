"""How far a run is, whatever the last line of its metrics looks like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meta_rl.launch.index import SweepRun
from meta_rl.launch.progress import describe, summary
from meta_rl.launch.run_status import RunStatus, read_status
from meta_rl.launch.scheduler import WatchedRun


def line(meta_iteration: int, **more) -> str:
    return json.dumps({"meta_iteration": meta_iteration, **more}) + "\n"


def write(folder: Path, text: str) -> Path:
    (folder / "metrics.jsonl").write_text(text)
    return folder


def test_a_run_that_has_not_begun(tmp_path: Path):
    assert read_status(tmp_path / "absent") == RunStatus()
    assert read_status(write(tmp_path, "")) == RunStatus()


def test_the_last_line_counts_and_seconds_are_per_iteration(tmp_path: Path):
    lines = [
        line(number, train_return=[-9.0, -number], seconds_total=100 + 2.5 * number)
        for number in (3, 4, 5)
    ]
    assert read_status(write(tmp_path, "".join(lines))) == RunStatus(5, -5, "return", 2.5)


@pytest.mark.parametrize("torn", ["{", '{"meta_iteration": 6', "[1]\n", "null\n", "x" * 200_000])
def test_a_line_that_is_being_written_is_passed_over(tmp_path: Path, torn: str):
    assert read_status(write(tmp_path, line(4) + line(5) + torn)).meta_iteration in (5, 0)
    if len(torn) < 1000:
        assert read_status(tmp_path).meta_iteration == 5


def test_metrics_of_a_supervised_run(tmp_path: Path):
    status = read_status(write(tmp_path, line(7, train_loss=0.5)))
    assert status == RunStatus(7, 0.5, "loss", None)


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path):
    lines = [line(number, x="y" * 1000, seconds_total=float(number)) for number in range(1, 501)]
    assert read_status(write(tmp_path, "".join(lines))) == RunStatus(500, None, "return", 1.0)


def test_a_row_says_what_is_known(tmp_path: Path):
    run = SweepRun(tmp_path, "seed1", {})
    entry = WatchedRun(run, 20, "running", RunStatus(5, -3.14159, "return", 2.0))
    assert describe(entry) == ("running", "5/20", "return -3.142", "ETA 0:00:30")
    entry.state = "stopped"
    assert describe(entry) == ("stopped", "5/20", "return -3.142", "")
    waiting = WatchedRun(run, 20)
    assert describe(waiting) == ("waiting", "", "", "")
    assert summary([entry, waiting, waiting]) == "3 runs: 1 stopped, 2 waiting"


def test_watching_needs_no_torch():
    code = (
        "import sys, meta_rl.launch.scheduler, meta_rl.launch.progress, "
        "meta_rl.launch.slurm; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
