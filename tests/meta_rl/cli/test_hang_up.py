"""A terminal that is closed saves a training; below nohup nothing happens."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from meta_rl.cli.exits import Stopped, stop_on_signals
from meta_rl.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.timeout(400)

CHECKOUT = Path(__file__).parents[3]
LONG = ["run.meta_iterations=99999", "run.checkpoint_every=99999", "evaluation.every=0"]
# A user's environment, which runs in worker processes that a hang-up reaches too.
POINT = """
import gymnasium
import numpy as np


class Point(gymnasium.Env):
    task_parameter_names = ("goal",)

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = gymnasium.spaces.Box(-0.5, 0.5, (1,), np.float32)

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(0.0, 1.0, size=(num_tasks, 1))

    def set_task(self, task):
        (self.goal,) = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=1)
        return self.position.copy(), {}

    def step(self, action):
        self.position = self.position + action
        return self.position.copy(), -abs(self.position[0] - self.goal), False, False, {}


gymnasium.register("Point-v0", Point)
"""


def train(folder: Path, *overrides: str) -> tuple[list[str], dict[str, str]]:
    (folder / "pointing.py").write_text(POINT)
    path = os.pathsep.join(map(str, [CHECKOUT, folder]))
    command = [sys.executable, "-m", "meta_rl", "train", "smoke", *LONG, *overrides]
    command += ["env.id=pointing:Point-v0", "rollout.num_threads=2", f"run.dir={folder / 'run'}"]
    return command, {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def num_lines(folder: Path) -> int:
    file = folder / "run" / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def nobody_is_left(folder: Path) -> bool:
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{CHECKOUT}{os.pathsep}{folder}".encode() in file.read_bytes():
                return False
        except OSError:
            continue
    return True


def test_a_hang_up_of_every_process_saves(tmp_path: Path):
    command, variables = train(tmp_path)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    wait_until(lambda: num_lines(tmp_path) > 2)
    os.killpg(process.pid, signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.SIGHUP, "")
    assert out.splitlines()[-1].startswith("Stopped. Resume with: meta-rl train --resume ")
    assert load_checkpoint(tmp_path / "run").meta_iteration > 2
    wait_until(lambda: nobody_is_left(tmp_path))


@pytest.mark.parametrize("ignored", [False, True], ids=["terminal", "nohup"])
def test_a_terminal_that_is_closed(tmp_path: Path, ignored):
    overrides = ["run.meta_iterations=12"] if ignored else []
    command, variables = train(tmp_path, *overrides)
    log = tmp_path / "log.txt"
    pid, terminal = pty.fork()
    if pid == 0:
        # The child leads the terminal's session, so the system sends it the hang-up. Whether it is
        # ignored is inherited, here perhaps from nohup.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        if ignored:
            output = os.open(log, os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1)
            os.dup2(output, 2)
        os.execvpe(command[0], command, variables)
    if ignored:
        wait_until(lambda: num_lines(tmp_path) > 2)
    else:
        shown = b""
        while b"3/99999" not in shown:
            shown += os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    if ignored:
        assert os.waitstatus_to_exitcode(status) == 0
        assert num_lines(tmp_path) == 12
        assert "Run directory" in log.read_text()
    else:
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
        assert load_checkpoint(tmp_path / "run").meta_iteration >= 2
    wait_until(lambda: nobody_is_left(tmp_path))


@pytest.mark.parametrize("ignored", [False, True])
def test_what_is_ignored_already_stays_ignored(ignored):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        with stop_on_signals():
            if ignored:
                os.kill(os.getpid(), signal.SIGHUP)
            else:
                with pytest.raises(Stopped) as stopped:
                    os.kill(os.getpid(), signal.SIGHUP)
                assert stopped.value.exit_status == 129
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
