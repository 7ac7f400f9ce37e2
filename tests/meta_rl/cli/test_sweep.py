"""``meta-rl sweep`` as users meet it: real processes, real signals, a terminal, and mistakes."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

from meta_rl.cli import app
from meta_rl.cli.exits import remember_signals
from meta_rl.config import load_config
from meta_rl.launch.index import create_sweep, run_directories
from meta_rl.launch.lifeline import LIFELINE
from meta_rl.launch.plan import make_plan
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import find_checkpoints, load_checkpoint
from meta_rl.runs.run_directory import create_run_directory, is_finished
from meta_rl.training.jobs import start_run

CHECKOUT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "meta_rl"]

# A user's environment that works at one speed, and at another one does not.
POINT = """
import gymnasium
import numpy as np


class Point(gymnasium.Env):
    task_parameter_names = ("goal",)

    def __init__(self, speed=1.0):
        if speed > 1.0:
            raise ValueError("too fast")  # FAULT
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = gymnasium.spaces.Box(-0.5, 0.5, (1,), np.float32)
        self.speed = speed

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(0.0, 1.0, size=(num_tasks, 1))

    def set_task(self, task):
        (self.goal,) = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=1)
        return self.position.copy(), {}

    def step(self, action):
        self.position = self.position + self.speed * action
        return self.position.copy(), -abs(self.position[0] - self.goal), False, False, {}


gymnasium.register("Point-v0", Point)
"""
SETTINGS = """
env: {id: "pointing:Point-v0"}
policy: {hidden_sizes: [8]}
rollout: {meta_batch_size: 2, episodes_per_task: 2, horizon: 5}
evaluation: {every: 1, num_tasks: 2, episodes_per_task: 2}
run: {meta_iterations: 1, device: cpu}
"""


def environment(folder: Path | None = None) -> dict[str, str]:
    path = os.pathsep.join(map(str, [CHECKOUT, folder] if folder else [CHECKOUT]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


def sweep(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "sweep", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(folder),
    )


def contents(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def numbers(run: Path) -> tuple[object, ...]:
    """All numbers of a run but those of a clock."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: x for name, x in line.items() if "second" not in name} for line in lines]
    last = find_checkpoints(run)[-1]
    files = (run / "evaluation.csv", run / "best.json", last / "model.safetensors")
    return metrics, last.name, *(file.read_bytes() for file in files)


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """A user's folder, a sweep of which one of two runs fails, and what its command said."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "pointing.py").write_text(POINT)
    (folder / "point.yaml").write_text(SETTINGS)
    path = folder / "a sweep = [x]"
    return folder, path, sweep(*arguments(folder, path), folder=folder)


def arguments(folder: Path, path: Path) -> list[object]:
    grid = ["env.options.speed=0.5,2.0", "run.seed=3"]
    return [folder / "point.yaml", *grid, "--jobs", "2", "--dir", path]


def test_a_run_that_fails_is_reported_and_does_not_stop_the_others(broken):
    _, path, result = broken
    assert result.returncode == 1
    log = path / "logs" / "speed2.0.log"
    assert result.stderr == f"Error: 1 of 2 runs failed, see {log}\n"
    lines = result.stdout.splitlines()
    assert lines[0] == f"2 runs: 2 waiting, in {path}"
    assert {"speed0.5: running", "speed2.0: running"} < set(lines)
    (failure,) = [line for line in lines if line.startswith("speed2.0: failed: ")]
    assert "ValueError: too fast" in failure
    assert failure.endswith(f"[log: {log}]")
    assert any(line.startswith("speed0.5: finished, 1/1, return -") for line in lines)
    assert lines[-1] == f"Sweep directory: {path}"
    assert "\x1b" not in result.stdout
    assert run_directories(path) == [path / "runs" / "speed0.5"]


def test_the_processes_share_the_cpus(broken):
    _, path, _ = broken
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    config = load_config(str(path / "runs" / "speed0.5" / "config.yaml"))
    assert config.rollout.num_threads == max(1, cpus // 2)
    assert config.run.seed == 3


def test_called_again_on_a_terminal_it_skips_what_is_finished_and_makes_the_rest(broken):
    folder, path, _ = broken
    before = contents(path / "runs")
    assert before
    (folder / "pointing.py").write_text(POINT.replace('raise ValueError("too fast")', "pass"))
    status, shown = sweep_on_a_terminal(*arguments(folder, path), folder=folder)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert status == 0
    assert f"2 runs: 1 waiting, 1 finished, in {path}" in text
    for part in ("return or loss", "2 runs: 1 running, 1 finished", "2 runs: 2 finished"):
        assert part in text
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor comes back"
    table = [line.split("│")[1:3] for line in text.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in table] == [["0.5", "1"], ["2.0", "1"]]
    after = contents(path / "runs")
    assert before.items() < after.items()
    assert is_finished(path / "runs" / "speed2.0")


def sweep_on_a_terminal(*arguments: object, folder: Path) -> tuple[int, str]:
    """The exit status, and all that a terminal is told."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 200, 0, 0))
    variables = {**environment(folder), "TERM": "xterm-256color"}
    del variables["COLUMNS"]
    process = subprocess.Popen(
        [*COMMAND, "sweep", *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=variables,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    while chunk := read(master):
        shown += chunk
    os.close(master)
    return process.wait(timeout=60), shown.decode()


def test_ctrl_c_stops_all_runs_and_resuming_changes_nothing(tmp_path: Path, capsys):
    path = tmp_path / "sweep"
    settings = ["run.meta_iterations=40", "run.checkpoint_every=50", "evaluation.every=40"]
    command = ["smoke", *settings, "run.seed=1..2", "--jobs", "2", "--dir", str(path)]
    process = subprocess.Popen(
        [*COMMAND, "sweep", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
        # A shell starts what it puts into the background with SIGINT ignored, these tests included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    runs = [path / "runs" / f"seed{seed}" for seed in (1, 2)]
    wait_until(lambda: all(num_lines(run) > 2 for run in runs))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert out.splitlines()[-1].startswith("Stopped. Go on with: meta-rl sweep smoke ")
    assert "seed1: stopped, " in out
    assert "seed2: stopped, " in out
    wait_until(lambda: not processes_with(str(path)))
    for run in runs:
        assert 2 <= load_checkpoint(run).meta_iteration < 40
    assert sweep(*command).returncode == 0
    assert all(is_finished(run) for run in runs)
    whole = load_config("smoke", [*settings, "run.seed=1", f"run.dir={tmp_path / 'whole'}"])
    with single_torch_thread():
        start_run(whole, "whole", Console(quiet=True))
    assert numbers(runs[0]) == numbers(tmp_path / "whole")
    # The commands about runs take the sweep for its runs.
    evaluated = call("evaluate", path)
    shown = capsys.readouterr()
    assert (evaluated, shown.err) == (0, "")
    assert "interquartile mean" in shown.out
    assert all(str(run) in shown.out for run in runs)
    assert len(list(path.glob("evaluation-*/summary.json"))) == 1
    assert call("report", path, "--num-tasks", 2, "--steps", 1) == 0
    page = (path / "report.html").read_text()
    assert all(run.name in page for run in runs)


@pytest.mark.timeout(400)
def test_a_killed_sweep_takes_its_runs_with_it_and_goes_on_when_called_again(tmp_path: Path):
    """SIGKILL of the sweep alone: its runs save and end, and a second call waits for that."""
    path = tmp_path / "sweep"
    settings = ["run.meta_iterations=30", "run.checkpoint_every=99", "evaluation.every=0"]
    command = ["smoke", *settings, "run.seed=1..2", "--jobs", "2", "--dir", str(path)]
    process = subprocess.Popen(
        [*COMMAND, "sweep", *command],
        stdout=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    runs = [path / "runs" / f"seed{seed}" for seed in (1, 2)]
    wait_until(lambda: all(num_lines(run) > 2 for run in runs))
    process.kill()
    process.wait()
    again = sweep(*command)
    assert (again.returncode, again.stderr) == (0, "")
    assert all(is_finished(run) for run in runs)
    for run in runs:
        facts = json.loads((run / "run.json").read_text())
        # What was saved at the end of the killed sweep was gone on with.
        assert facts["resumed"][0]["meta_iteration"] > 2
    wait_until(lambda: not processes_with(str(path)))


def test_a_run_that_is_written_elsewhere_is_waited_for(tmp_path: Path):
    path = tmp_path / "sweep"
    command = ["smoke", "run.meta_iterations=1", "run.seed=1", "--dir", str(path)]
    create_sweep(path, make_plan(command[0], command[1:3]))
    settings = ["run.meta_iterations=1", "run.seed=1", f"run.dir={path / 'runs' / 'run'}"]
    with create_run_directory(load_config("smoke", settings), "run") as run:
        process = subprocess.Popen(
            [*COMMAND, "sweep", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert process.stdout.readline() == f"1 run: 1 waiting, in {path}\n"
        assert process.stdout.readline() == (
            f"run: waiting, since {run.path} is being written by process {os.getpid()}\n"
        )
        time.sleep(1.0)
        assert process.poll() is None
        run.record_finish()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[0] == "run: finished"
    assert list((path / "logs").iterdir()) == [], "it was not trained again"


def test_a_training_whose_starter_has_gone_before_it_could_look_ends(tmp_path: Path):
    process = subprocess.Popen(
        [*COMMAND, "train", "smoke", "run.meta_iterations=99999", f"run.dir={tmp_path / 'run'}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**environment(), LIFELINE: "1"},
        start_new_session=True,
    )
    process.stdin.close()
    assert process.wait(timeout=60) in (-signal.SIGTERM, 128 + signal.SIGTERM)


def call(*arguments: object) -> int:
    """The command in this process; returns its exit status."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with single_torch_thread(), pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return int(ended.value.code)


def num_lines(run: Path) -> int:
    file = run / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def processes_with(text: str) -> list[str]:
    """Command lines that hold a text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes()
        except OSError:
            continue
        if text.encode() in words:
            found.append(words.decode())
    return found


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so where the other end is closed
        return b""


def test_signals_are_noted_unless_they_were_ignored_before():
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in handled}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with remember_signals() as received:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                os.kill(os.getpid(), number)
        assert received == [signal.SIGTERM, signal.SIGINT]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["sweep needs a CONFIG first", "navigation"]),
        (["run.seed=1..2"], ["sweep needs a CONFIG first"]),
        (["smok"], ["did you mean smoke?"]),
        (["smoke", "run.sed=1..2"], ["run.sed is not a setting; did you mean run.seed?"]),
        (["smoke", "run.seed=2..1"], ["did you mean 1..2?"]),
        (["smoke", "run.seed"], ["'run.seed' should have the form section.key=value"]),
        (["smoke", "run.dir=x"], ["run.dir cannot be set in a sweep"]),
        (["smoke", "--slurm-option", "a=1"], ["--slurm-option is for --slurm"]),
        (["smoke", "--dir", "."], ["exists and is not a sweep"]),
        (["smoke", "--dir", "/proc/sweep"], ["/proc/sweep cannot be written"]),
    ],
)
def test_mistakes(capsys, monkeypatch, tmp_path: Path, arguments, parts):
    monkeypatch.chdir(tmp_path)
    Path("precious").touch()
    status = call("sweep", *arguments)
    err = capsys.readouterr().err
    assert status == 1
    assert err.startswith("Error: ")
    for part in parts:
        assert part in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]
