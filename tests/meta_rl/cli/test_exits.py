"""How a command ends, in processes of their own: whatever it was doing, with the right status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


def run(code: str, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(CHECKOUT), str(folder)])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


# As multiprocessing sends it: a buffer of a BytesIO that nothing else holds.
HALF_SENT = """
import io, os, signal
from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.reading import SentenceError

def send(buffer):
    {end}

with stop_on_signals(), one_sentence_errors():
    send(io.BytesIO(bytes(100)).getbuffer())
"""
ENDS = {
    "a signal": ("os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
    "a mistake": ("raise SentenceError('one sentence')", 1, "Error: one sentence\n"),
    "its cause": ("raise SentenceError('one sentence') from OSError()", 1, "Error: one sentence\n"),
    "of an environment": (
        "import envs; raise envs.EnvironmentFault('one sentence')",
        *(1, "Error: one sentence\n"),
    ),
    "a fault of ours": ("raise AssertionError('ours')", 1, "AssertionError: ours\n"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_was_being_sent_does_not_crash_the_ending_interpreter(name):
    end, code, err = ENDS[name]
    done = run(HALF_SENT.format(end=end))
    assert done.returncode == code, done.stderr
    assert done.stderr.endswith(err)
    assert name == "a fault of ours" or done.stderr == err


def test_a_worker_that_dies_leaves_nothing_that_crashes_the_collector(tmp_path: Path):
    (tmp_path / "standing.py").write_text(STANDING)
    done = run(DYING, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "died\ncollected\n"


STANDING = """
import gymnasium, numpy as np

class Standing(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def sample_tasks(self, num_tasks, rng):
        return np.zeros((num_tasks, 1))

    def set_task(self, task):
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}

gymnasium.register("Standing-v0", Standing)
"""
DYING = """
import gc, multiprocessing, os, signal
import numpy as np
import envs

def play():
    env = envs.make_task_vector_env("standing:Standing-v0", 4, num_threads=2)
    env.reset(seed=0)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    try:
        env.step(np.zeros((4, 1), np.float32))
    except envs.EnvironmentFault as fault:
        circle = fault  # which holds its traceback, which holds this call
        cause = fault.__cause__.__cause__
        assert isinstance(cause, BrokenPipeError), cause
        print("died" if "died in step by SIGKILL" in str(fault) else fault)

play()
gc.collect()
print("collected")
"""


LOST = """
import os, signal, time
from meta_rl.cli.exits import one_sentence_errors, stop_on_signals

with stop_on_signals(), one_sentence_errors():
    for attempt in range(3):
        try:
            if attempt == 0:
                os.kill(os.getpid(), signal.{name})
            time.sleep(60)
        except BaseException:
            print("lost", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(2)  # saving takes a while, which no second exception disturbs
        print("saved", flush=True)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_is_not_lost_where_exceptions_are_dropped(name, code):
    done = run(LOST.format(name=name))
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == "lost\nlost\nlost\nsaved\n"
