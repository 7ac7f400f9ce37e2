"""Slurm: real submitit with its local executor, and a stand-in for sbatch, srun and sacct."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import submitit

from meta_rl.cli import app
from meta_rl.launch.index import SweepError, create_sweep
from meta_rl.launch.plan import make_plan
from meta_rl.launch.slurm import parse_options, submit, submitted_jobs
from meta_rl.runs.run_directory import is_finished

CHECKOUT = Path(__file__).parents[4]

# Keeps what it is given, and answers as Slurm does.
SBATCH = """#!/bin/sh
cp "$1" "$SLURM_TEST/script.$(date +%N)"
echo "Submitted batch job 4711"
"""
SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
cat "$SLURM_TEST/states"
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the commands of Slurm leave what they were given."""
    bin_folder, folder = tmp_path / "bin", tmp_path / "slurm"
    bin_folder.mkdir()
    folder.mkdir()
    for name, script in {"sbatch": SBATCH, "srun": "#!/bin/sh\n", "sacct": SACCT}.items():
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_TEST", str(folder))
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = 0
    try:
        app([str(argument) for argument in arguments], standalone_mode=False)
    except SystemExit as ended:
        status = int(ended.code)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_a_sweep_is_submitted_once_as_one_array(cluster: Path, tmp_path: Path, capsys):
    path = tmp_path / "sweep"
    options = ["--slurm", "--slurm-option", "time=90", "--slurm-option", "partition=lab"]
    command = ["sweep", "smoke", "run.seed=1..3", "--dir", path, *options]
    code, out, err = call(capsys, *command)
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if "submitted as job" in line] == [
        f"seed{number}: submitted as job 4711_{number - 1}" for number in (1, 2, 3)
    ]
    (script,) = cluster.glob("script.*")
    lines = script.read_text().splitlines()
    for line in ("#SBATCH --array=0-2%3", "#SBATCH --partition=lab", "#SBATCH --time=90"):
        assert line in lines
    assert f"#SBATCH --job-name={path.name}" in lines

    (cluster / "states").write_text("4711_0|RUNNING|n\n4711_[1-2]|PENDING|n\n")
    code, out, err = call(capsys, *command)
    assert (code, err) == (0, "")
    assert "seed1: job 4711_0 is RUNNING" in out
    assert "seed3: job 4711_2 is PENDING" in out
    assert len(list(cluster.glob("script.*"))) == 1

    submitit.SlurmJob.watcher.clear()
    (cluster / "states").write_text("4711_0|RUNNING|n\n4711_1|FAILED|n\n4711_2|TIMEOUT|n\n")
    code, out, err = call(capsys, *command)
    assert (code, err) == (0, "")
    assert "seed2: submitted as job" in out
    assert "seed1: submitted" not in out
    newest = max(cluster.glob("script.*"), key=lambda file: file.stat().st_mtime_ns)
    assert "#SBATCH --array=0-1%2" in newest.read_text()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["time"], "should have the form key=value"),
        (["=3"], "should have the form key=value"),
        ([], "needs --slurm-option time=MINUTES"),
        (["time=1:00:00"], "needs --slurm-option time=MINUTES"),
        (["time=10", "partitio=lab"], "did you mean partition?"),
    ],
)
def test_mistakes_in_options(cluster: Path, options, part):
    with pytest.raises(SweepError) as caught:
        parse_options(options)
    assert part in str(caught.value)


def test_options_are_numbers_where_they_look_so(cluster: Path):
    assert parse_options(["time=10", "mem=8GB"]) == {"time": 10, "mem": "8GB"}


def test_without_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SweepError, match="there is no srun here"):
        parse_options(["time=10"])


def test_without_submitit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    path = tmp_path / "sweep"
    code, _, err = call(capsys, "sweep", "smoke", "--slurm", "--dir", path)
    assert (code, err) == (1, "Error: --slurm needs submitit: pip install 'meta-rl[slurm]'\n")
    assert not path.exists()


def test_what_sbatch_refuses_is_one_sentence(cluster: Path, tmp_path: Path):
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    runs = create_sweep(tmp_path / "sweep", make_plan("smoke", []))
    with pytest.raises(SweepError, match="the jobs cannot be submitted") as caught:
        submit(tmp_path / "sweep", runs, {"time": 10}, sets_num_threads=False)
    assert "\n" not in str(caught.value)
    assert submitted_jobs(tmp_path / "sweep", runs) == {}


@pytest.mark.needs("Linux")
def test_a_job_trains_and_goes_on_after_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = tmp_path / "sweep"
    settings = ["run.meta_iterations=40", "evaluation.every=0", "run.checkpoint_every=1000"]
    (run,) = create_sweep(path, make_plan("smoke", [*settings, "run.device=cpu"]))
    (job,) = submit(path, [run], {"time": 10}, sets_num_threads=False, cluster="local")
    metrics = run.path / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (controller,) = Path("/proc", str(job.job_id), "task", str(job.job_id)).glob("children")
    (worker,) = controller.read_text().split()
    os.kill(int(worker), signal.SIGUSR2)  # as Slurm does when the time is nearly over
    job.result()
    assert is_finished(run.path)
    lines = [json.loads(line)["meta_iteration"] for line in metrics.read_text().splitlines()]
    assert lines == list(range(1, 41))
    assert len(json.loads((run.path / "run.json").read_text())["resumed"]) == 1
    assert "Stopped. Resume with" in run.log_file.read_text()
