"""What is left when a user's environment fails: its neighbours closed, and no process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import envs

NUM_ENVS = 4


@pytest.fixture(autouse=True)
def _here(misbehaving, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def num_closed():
    record = Path("closed.txt")
    return record.read_text().count("closed") if record.exists() else 0


def fail_in_step(how, *, num_threads=2, timeout=15.0, name="Program", where="step"):
    """Play until the environments fail, after 30 steps; return the message."""
    env = envs.make_task_vector_env(
        f"misbehaving:{name}-v0",
        NUM_ENVS,
        num_threads=num_threads,
        timeout=timeout,
        options={"where": where, "how": how, "late": True},
    )
    with pytest.raises(envs.EnvironmentFault) as caught:
        for _ in range(7):
            env.reset(seed=0)
            for _ in range(6):
                env.step(np.zeros((NUM_ENVS, 1)))
    assert env.closed
    return str(caught.value)


@pytest.mark.parametrize("how", ["raise", "sys.exit", "interrupt", "generator exit", "unprintable"])
def test_after_an_exception_every_environment_is_closed(how):
    message = fail_in_step(how)
    assert message.startswith("Program-v0 failed in worker 0, environment 0, task (goal=")
    assert "(misbehaving.py:" in message
    assert num_closed() == NUM_ENVS + 1  # and the scout's


@pytest.mark.parametrize("how", ["hang", "spin"])
def test_after_a_time_out_every_environment_is_closed(how):
    start = time.monotonic()
    assert "did not answer step within 4 s (timeout)" in fail_in_step(how, timeout=4.0)
    assert time.monotonic() - start < 60
    assert num_closed() == NUM_ENVS + 1


def test_programs_of_a_worker_that_dies_end_with_it():
    assert "died in step with exit code 7" in fail_in_step("os._exit", num_threads=1)
    assert num_closed() == 1  # the scout's


def test_a_crash_is_named_by_its_signal():
    assert "died in step by SIGSEGV" in fail_in_step("segfault", num_threads=1)


def test_programs_that_nobody_ends_do_not_outlive_a_healthy_environment():
    env = envs.make_task_vector_env("misbehaving:Careless-v0", 2, num_threads=1)
    env.reset(seed=0)
    env.close()


def test_one_close_that_hangs_does_not_keep_the_others_from_closing():
    env = envs.make_task_vector_env(
        "misbehaving:Misbehaving-v0",
        2,
        num_threads=2,
        options={"where": "close", "how": "hang"},
    )
    start = time.monotonic()
    env.close()
    assert time.monotonic() - start < 20


def test_how_many_environments_were_made_is_said_and_the_limit_is_for_each():
    env = envs.make_task_vector_env(
        "misbehaving:Slow-v0", 6, num_threads=1, timeout=4.0, options={"seconds": 1.0}
    )
    env.close()
    with pytest.raises(envs.EnvironmentFault) as caught:
        envs.make_task_vector_env(
            "misbehaving:SlowInWorkers-v0", 5, num_threads=1, timeout=4.0, limit="rollout.step"
        )
    assert str(caught.value) == (
        "SlowInWorkers-v0: making an environment took longer than 4 s (rollout.step) in worker 0; "
        "2 of 5 environments were made."
    )


PARENT = """
import sys
import numpy, envs
env = envs.make_task_vector_env("misbehaving:Program-v0", 2, num_threads=1)
env.reset(seed=0)
print("playing", flush=True)
sys.stdin.read()
"""


def test_programs_end_after_a_parent_that_is_killed():
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "playing\n"
    process.kill()
    deadline = time.monotonic() + 20
    while num_closed() < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in process.communicate()[1]
    time.sleep(0.5)
