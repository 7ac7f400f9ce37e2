"""A user's environments in worker processes, healthy and not."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs
from envs import EnvironmentFault
from envs.worker_processes import lean_spawning

# The module of a user. `fault` says what goes wrong in the step of the tasks with power >= 1.
SOURCE = """
import os
import sys
import time

import gymnasium
import numpy as np


class Drift(gymnasium.Env):
    def __init__(self, fault="", where="step", task_range=None, names=("power", "goal")):
        self.task_range, self.task_parameter_names = task_range, names
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.fault, self.where = fault, where

    def sample_tasks(self, num_tasks, rng):
        if self.fault == "sample" and num_tasks > 5:
            raise KeyError("goal")  # SAMPLE
        if self.fault == "sample hangs" and num_tasks > 5:
            time.sleep(600)
        return rng.uniform(0.0, 0.5, size=(num_tasks, 2))

    def set_task(self, task):
        self.power, self.goal = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.misbehave("reset")
        self.position, self.steps = self.np_random.normal(), 0
        return self.observe(), {}

    def observe(self):
        return np.array([self.position, self.steps], np.float32)

    def step(self, action):
        self.misbehave("step")
        self.position += self.power * action[0]
        self.steps += 1
        reward = -abs(self.position - self.goal)
        if self.fault == "reward" and self.power >= 1:
            reward = float("nan")
        if self.fault == "observation" and self.power >= 1:
            self.position = float("inf")
        if self.fault == "shape" and self.power >= 1:
            return np.zeros(3, np.float32), reward, False, False, {}
        info = {"diverged": self.fault == "diverge" and self.power >= 1 and self.steps == 2}
        return self.observe(), reward, bool(self.goal < 0 and self.steps == 2), False, info

    def close(self):
        if self.fault.startswith("/"):
            open(self.fault, "a").write("closed ")

    def misbehave(self, where):
        if self.power < 1 or self.where != where:
            return
        if self.fault == "raise":
            raise ZeroDivisionError("no power")  # LINE
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "die":
            os._exit(3)


class Physics(Drift):
    def __init__(self):
        super().__init__()
        import mujoco

        xml = "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
        self.mujoco = mujoco
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)

    def reset(self, *, seed=None, options=None):
        self.mujoco.mj_resetData(self.model, self.data)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self.power >= 1 and self.steps == 1:
            self.data.qvel[:] = 1e12
        self.mujoco.mj_step(self.model, self.data)
        return super().step(action)


class Imports(Drift):
    def step(self, action):
        observation, _, *rest = super().step(action)
        heavy = any(name in sys.modules for name in ("torch", "meta_rl", "mujoco"))
        threads = os.environ.get("OMP_NUM_THREADS") == "1"
        return observation, 10.0 * heavy + threads, *rest


gymnasium.register("Drift-v0", Drift, max_episode_steps=5)
gymnasium.register("Physics-v0", Physics, max_episode_steps=5)
gymnasium.register("Imports-v0", "drifting:Imports", max_episode_steps=5)
"""
RAISING_LINE = SOURCE[: SOURCE.index("# LINE")].count("\n") + 1
SAMPLING_LINE = SOURCE[: SOURCE.index("# SAMPLE")].count("\n") + 1
NUM_ENVS = 5


@pytest.fixture(scope="module", autouse=True)
def _user_module(tmp_path_factory):
    """The user's module, importable in this process for the tests of this file."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "drifting.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("drifting", None)
    for env_id in ("Drift-v0", "Imports-v0", "Physics-v0"):
        gymnasium.registry.pop(env_id, None)


@pytest.fixture(autouse=True)
def _no_process_left():
    yield
    assert multiprocessing.active_children() == []


def make(env_id="drifting:Drift-v0", **kwargs):
    return envs.make_task_vector_env(
        env_id, NUM_ENVS, **{"num_threads": 2, "timeout": 20.0, **kwargs}
    )


def zero_actions():
    return np.zeros((NUM_ENVS, 1))


def test_five_environments_on_two_workers_equal_a_plain_loop():
    env = make()
    try:
        assert env.task_parameter_names == ("power", "goal")
        assert len(multiprocessing.active_children()) == 3  # two workers and a scout
        tasks = env.sample_tasks(NUM_ENVS, np.random.default_rng(0))
        np.testing.assert_array_equal(env.tasks, tasks)
        tasks[1, 1] = -1.0  # this one terminates at its second step
        env.set_tasks(tasks)
        singles = [gymnasium.make("drifting:Drift-v0") for _ in range(NUM_ENVS)]
        observation, _ = env.reset(seed=[5, 6, 7, 8, 9])
        assert observation.dtype == np.float32
        for i, single in enumerate(singles):
            single.unwrapped.set_task(tasks[i])
            np.testing.assert_array_equal(observation[i], single.reset(seed=5 + i)[0])
        actions = np.random.default_rng(1).uniform(-1.5, 1.5, (7, NUM_ENVS, 1))
        ended = np.zeros(NUM_ENVS, bool)
        for action in actions:
            before = observation
            observation, reward, terminated, truncated, info = env.step(action)
            np.testing.assert_array_equal(reward, info["reward_environment"])
            for i, single in enumerate(singles):
                if ended[i]:
                    np.testing.assert_array_equal(observation[i], before[i])
                    assert reward[i] == 0
                    continue
                expected = single.step(np.clip(action[i], -1, 1).astype(np.float32))
                np.testing.assert_array_equal(observation[i], expected[0])
                assert (reward[i], terminated[i], truncated[i]) == expected[1:4]
            ended = terminated | truncated
        np.testing.assert_array_equal(terminated, [False, True, False, False, False])
        np.testing.assert_array_equal(truncated, ~terminated)

        # Only the masked environments start anew.
        mask = np.array([False, True, False, False, True])
        observation, _ = env.reset(seed=[None, 6, None, None, 9], options={"reset_mask": mask})
        np.testing.assert_array_equal(observation[:, 1] == 0, mask)
        _, reward, _, truncated, _ = env.step(actions[0])
        np.testing.assert_array_equal(reward != 0, mask)
        np.testing.assert_array_equal(truncated, ~mask & ~np.array([0, 1, 0, 0, 0], bool))
    finally:
        env.close()


def test_workers_import_no_torch_and_use_one_thread_each(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    sys.modules.setdefault("torch", sys)  # the parent has it, or seems to
    env = make("drifting:Imports-v0")
    try:
        env.reset(seed=0)
        np.testing.assert_array_equal(env.step(zero_actions())[1], 1.0)
        assert "OMP_NUM_THREADS" not in os.environ
    finally:
        env.close()
        if sys.modules["torch"] is sys:
            del sys.modules["torch"]


def test_an_environment_registered_in_the_parent_only_with_options_and_time_limit():
    import drifting

    class Local(drifting.Drift):  # of this function: no worker could import it
        def __init__(self, bonus):
            super().__init__()
            self.bonus = bonus

        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, self.bonus, *rest

    gymnasium.register("Local-v0", Local)
    try:
        env = make("Local-v0", options={"bonus": 2.5}, max_episode_steps=1, num_threads=1)
        env.reset(seed=0)
        _, reward, _, truncated, _ = env.step(zero_actions())
        np.testing.assert_array_equal(reward, 2.5)
        assert truncated.all()
        env.close()
    finally:
        gymnasium.registry.pop("Local-v0")


def run_into(fault, where="step", timeout=20.0):
    """Let environment 3, the first of worker 1, go wrong; return the fault."""
    env = make(options={"fault": fault, "where": where}, timeout=timeout)
    tasks = np.tile([0.25, 0.5], (NUM_ENVS, 1))
    tasks[3, 0] = 1.5
    env.set_tasks(tasks)
    with pytest.raises(EnvironmentFault) as caught:
        env.reset(seed=0)
        env.step(zero_actions())
    assert multiprocessing.active_children() == []
    assert env.closed
    message = str(caught.value)
    assert message.startswith("Drift-v0")
    assert "worker 1" in message
    assert "(power=1.5, goal=0.5)" in message
    assert message.count("\n") == 0
    env.close()  # does no harm
    return caught.value


@pytest.mark.parametrize("where", ["reset", "step"])
def test_an_exception_names_worker_task_and_line(where):
    fault = run_into("raise", where)
    assert "environment 3" in str(fault)
    assert f"ZeroDivisionError: no power (drifting.py:{RAISING_LINE})" in str(fault)
    assert fault.worker_traceback.startswith("Traceback")
    assert "misbehave" in fault.worker_traceback


@pytest.mark.parametrize("where", ["reset", "step"])
def test_a_hanging_worker_is_stopped_at_the_time_limit(where):
    start = time.monotonic()
    assert f"did not answer {where} within 2 s" in str(run_into("hang", where, timeout=2.0))
    assert time.monotonic() - start < 60  # it hangs for 600


def test_a_dying_worker_is_named():
    assert "died in step with exit code 3" in str(run_into("die"))


@pytest.mark.parametrize(("fault", "number"), [("reward", "nan"), ("observation", "inf")])
def test_numbers_that_are_not_finite_are_faults(fault, number):
    message = str(run_into(fault))
    assert f"a non-finite {fault}" in message
    assert number in message


def test_an_observation_of_the_wrong_shape_is_a_fault():
    message = str(run_into("shape"))
    assert "step returned an observation of shape (3,); its space has shape (2,)" in message


def test_closing_lets_the_environments_close_themselves(tmp_path):
    record = tmp_path / "record"
    make(options={"fault": str(record)}, num_threads=1).close()
    # The five of the worker, and the scout's.
    assert record.read_text().split() == ["closed"] * (NUM_ENVS + 1)


def test_dropping_the_environment_ends_its_workers():
    env = make(num_threads=1)
    env.reset(seed=0)
    del env


def test_a_script_without_main_guard_runs_once(tmp_path):
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "drifting.py").write_text(SOURCE)
    script = folder / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "print('running')\n"
        "import gymnasium, numpy, drifting, envs\n"
        "class Mine(drifting.Drift):\n"
        "    def step(self, action):\n"
        "        return self.observe(), 4.0, False, False, {}\n"
        "gymnasium.register('Mine-v0', Mine)\n"
        "env = envs.make_task_vector_env('Mine-v0', 3, num_threads=2)\n"
        "env.reset(seed=0)\n"
        "print(env.step(numpy.zeros((3, 1)))[1].sum())\n"
        "env.close()\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout, result.stderr) == ("running\n12.0\n", "")


def test_sample_tasks_that_raises_is_a_fault():
    env = make(options={"fault": "sample"})
    with pytest.raises(EnvironmentFault) as caught:
        env.sample_tasks(6, np.random.default_rng(0))
    location = f"drifting.py:{SAMPLING_LINE}"
    assert str(caught.value) == f"Drift-v0: sample_tasks raised KeyError: 'goal' ({location})."
    assert "in sample_tasks" in caught.value.worker_traceback


def test_sample_tasks_that_hangs_is_a_fault():
    env = make(options={"fault": "sample hangs"}, timeout=5.0)
    with pytest.raises(EnvironmentFault) as caught:
        env.sample_tasks(6, np.random.default_rng(0))
    assert str(caught.value) == "Drift-v0: sample_tasks took longer than 5 s (timeout)."


@pytest.mark.parametrize("names", [("a", "a"), ("a", "b\nc"), ("a", ""), ("a", 1)])
def test_names_that_cannot_head_a_table_are_refused(names):
    with pytest.raises(ValueError, match="task_parameter_names must be different names"):
        make(num_threads=1, options={"names": names})


@pytest.mark.parametrize(
    ("env_id", "options"), [("Drift-v0", {"fault": "diverge"}), ("Physics-v0", {})]
)
def test_a_diverged_simulation_ends_its_episode(env_id, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it runs
    env = make(f"drifting:{env_id}", options=options)
    tasks = np.tile([0.25, 0.5], (NUM_ENVS, 1))
    tasks[3, 0] = 1.5
    env.set_tasks(tasks)
    env.reset(seed=0)
    before = env.step(zero_actions())
    after = env.step(zero_actions())
    env.close()
    assert not before[4]["diverged"].any()
    expected = np.arange(NUM_ENVS) == 3
    for flag in (after[2], after[4]["diverged"], after[1] == 0):
        np.testing.assert_array_equal(flag, expected)
    np.testing.assert_array_equal(after[0][3], before[0][3])


def running(pid: int) -> bool:
    """Whether a process is there and not a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


needs_proc = pytest.mark.needs("Linux")


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_are_the_parents_business(number):
    env = make()
    try:
        env.reset(seed=0)
        workers = [process.pid for process in multiprocessing.active_children()]
        for pid in workers:
            os.kill(pid, number)
        time.sleep(0.2)
        assert env.step(zero_actions())[0].shape == (NUM_ENVS, 2)
        assert all(running(pid) for pid in workers)
    finally:
        env.close()


@needs_proc
def test_a_worker_listens_to_neither_from_its_first_instruction():
    with lean_spawning():
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0.1,))
        process.start()
    blocked = int(
        re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())[1], 16
    )
    process.join()
    for number in (signal.SIGINT, signal.SIGTERM):
        assert blocked >> (number - 1) & 1
        assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


PARENT = """
import multiprocessing, sys, threading
import numpy, drifting, envs
env = envs.make_task_vector_env(
    "drifting:Drift-v0", 5, num_threads=2, timeout=600.0, options={"fault": sys.argv[1]}
)
tasks = numpy.tile([0.25, 0.5], (5, 1))
tasks[3, 0] = 1.5
env.set_tasks(tasks)
env.reset(seed=0)
print(*(process.pid for process in multiprocessing.active_children()), flush=True)
env.step(numpy.zeros((5, 1)))
sys.stdin.read()
"""


@needs_proc
@pytest.mark.parametrize("fault", ["none", "hang"])
def test_no_worker_outlives_a_parent_that_is_killed(tmp_path, fault):
    (tmp_path / "drifting.py").write_text(SOURCE)
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, fault],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 3
    time.sleep(0.3)  # one of the workers now hangs, if any is to
    assert all(running(pid) for pid in workers)
    process.kill()
    deadline = time.monotonic() + 20
    while any(running(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # One line of Python's own may say that semaphores of the killed process were cleaned up.
    assert "Traceback" not in process.communicate()[1]


def test_a_module_that_cannot_be_imported_is_refused_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="the module broken cannot be imported: SyntaxError"):
        make("broken:Broken-v0")


def test_a_task_range_is_optional():
    stated = [[0.0, 0.0], [0.5, 0.5]]
    for task_range in (None, stated):
        env = make(options={"task_range": task_range})
        env.close()
        assert (env.task_range is None) == (task_range is None)
    np.testing.assert_array_equal(env.task_range, stated)
    assert env.finite_tasks is None


@pytest.mark.parametrize(
    "task_range",
    [[0.0, 0.5], [[0.0, 0.0], [0.5]], [[0.0, 1.0], [0.5, 0.5]], [[0.0, 0.0], [0.5, np.inf]], "x"],
)
def test_another_kind_of_task_range_is_refused(task_range):
    with pytest.raises(ValueError, match=r"task_range must hold .* \[2, 2\], not"):
        make(options={"task_range": task_range})
