"""Several processes share a meta-batch: real ones, started by torchrun, and killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runtime.ranks import ALONE, RankError, Ranks

CHECKOUT = Path(__file__).parents[3]
SETTINGS = (
    *("rollout.meta_batch_size=7", "rollout.episodes_per_task=4", "rollout.horizon=20"),
    *("evaluation.num_tasks=7", "evaluation.episodes_per_task=2", "evaluation.every=2"),
    *("run.meta_iterations=4", "run.checkpoint_every=1", "run.device=cpu"),
)
TIMES = ("env_steps_per_second", "seconds_")


def start(num_ranks: int, path: Path, *settings: str, max_restarts: int = 0) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(num_ranks), "--max-restarts", str(max_restarts)]
    command += ["-m", "meta_rl", "train", "navigation", f"run.dir={path}", *SETTINGS, *settings]
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> str:
    try:
        output, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return output


def results(path: Path):
    """Parameters, metrics without times, evaluations."""
    params = load_checkpoint(path).params
    with (path / "metrics.jsonl").open() as file:
        metrics = [
            {name: value for name, value in json.loads(line).items() if not name.startswith(TIMES)}
            for line in file
        ]
    with (path / "evaluation.csv").open() as file:
        return params, metrics, list(csv.reader(file))


def assert_same_results(path: Path, expected: Path) -> None:
    params, metrics, evaluations = results(path)
    expected_params, expected_metrics, expected_evaluations = results(expected)
    for name, value in expected_params.items():
        assert torch.equal(params[name], value), name
    assert metrics == expected_metrics
    assert evaluations == expected_evaluations


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("alone") / "run"
    output = finish(start(1, path))
    assert (path / "evaluation.csv").exists(), output
    return path


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_any_number_of_ranks_gives_the_same_bits(alone, tmp_path, num_ranks):
    # Seven tasks: unequal shares for two and for three ranks. (A rank with a single task rounds
    # otherwise, because products of one matrix go another way than batches of them.)
    process = start(num_ranks, tmp_path / "run")
    output = finish(process)
    assert process.returncode == 0, output
    assert output.count("Run directory:") == 1, "the first rank alone reports"
    assert_same_results(tmp_path / "run", alone)


def test_statistics_of_observations_do_not_depend_on_the_number_of_ranks(tmp_path):
    normalised = "policy.normalise_observations=true"
    for num_ranks in (1, 2, 3):
        process = start(num_ranks, tmp_path / f"{num_ranks}", normalised)
        output = finish(process)
        assert process.returncode == 0, output
    assert "observation_moments.mean" in load_checkpoint(tmp_path / "1").params
    for num_ranks in (2, 3):
        assert_same_results(tmp_path / f"{num_ranks}", tmp_path / "1")


def rank_process(rank: int, launcher: int) -> int:
    """The process id of a rank that a launcher has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status, variables = (entry / "stat").read_text(), (entry / "environ").read_bytes()
        except OSError:
            continue
        parent = int(status.rpartition(")")[2].split()[1])
        if parent == launcher and f"RANK={rank}".encode() in variables.split(b"\0"):
            return int(entry.name)
    raise AssertionError(f"there is no rank {rank}")


@pytest.mark.needs("Linux")
def test_a_killed_rank_ends_the_job_and_a_restart_resumes_it(alone, tmp_path):
    path = tmp_path / "run"
    process = start(2, path, max_restarts=1)
    try:
        # As soon as something is saved; most of the run is still to come.
        while not list(path.glob("checkpoints/iteration_000001")):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.005)
        os.kill(rank_process(1, process.pid), signal.SIGKILL)
    finally:
        output = finish(process)
    assert process.returncode == 0, output
    assert len(json.loads((path / "run.json").read_text())["resumed"]) == 1
    assert_same_results(path, alone)


def test_a_rank_that_dies_ends_the_job_where_there_is_no_restart(tmp_path):
    process = start(2, tmp_path / "run", "run.meta_iterations=10000", "evaluation.every=0")
    try:
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        os.kill(rank_process(1, process.pid), signal.SIGKILL)
        killed = time.monotonic()
    finally:
        output = finish(process)
    assert process.returncode != 0
    assert time.monotonic() - killed < 60
    assert "Resume with: meta-rl train --resume" in output
    assert "exitcode: -9" in output, "the launcher says how the rank ended"
    assert f'File "{CHECKOUT / "meta_rl"}' not in output, "no traceback of ours"


def test_a_restart_needs_a_directory_that_it_can_know(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "meta_rl", "train", "smoke"],
        cwd=CHECKOUT,
        env=os.environ | {"TORCHELASTIC_RESTART_COUNT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 1
    assert process.stderr == (
        "Error: a restart cannot know which run to resume; "
        "give run.dir where there may be restarts\n"
    )


@pytest.mark.parametrize(("num_tasks", "size"), [(5, 1), (5, 2), (5, 3), (5, 5), (6, 3)])
def test_shares_cover_the_tasks_in_order_and_evenly(num_tasks, size):
    shares = [Ranks(rank, size).share(num_tasks) for rank in range(size)]
    covered = [task for share in shares for task in range(num_tasks)[share]]
    assert covered == list(range(num_tasks))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_more_ranks_than_tasks():
    with pytest.raises(RankError, match="3 ranks cannot share 2 tasks"):
        Ranks(0, 3).share(2)


def test_one_process_needs_nobody():
    x = torch.arange(3.0)
    assert ALONE.total(x) is x
    assert ALONE.gather(x) == [x]
    assert ALONE.from_first(lambda: x) is x
    assert ALONE.is_first
