"""A user's environments in worker processes, healthy and not."""

import multiprocessing
import os
import sys
import time

import gymnasium
import numpy as np
import pytest

import envs
from envs import EnvironmentFault

# The module of a user. `fault` says what goes wrong in the step of the tasks with power >= 1.
SOURCE = """
import os
import sys
import time

import gymnasium
import numpy as np


class Drift(gymnasium.Env):
    task_parameter_names = ("power", "goal")

    def __init__(self, fault="", where="step", task_range=None):
        self.task_range = task_range
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.fault, self.where = fault, where

    def sample_tasks(self, num_tasks, rng):
        if self.fault == "sample" and num_tasks > 5:
            raise KeyError("goal")
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
        return self.observe(), reward, bool(self.goal < 0 and self.steps == 2), False, {}

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


class Imports(Drift):
    def step(self, action):
        observation, _, *rest = super().step(action)
        heavy = any(name in sys.modules for name in ("torch", "meta_rl", "mujoco"))
        threads = os.environ.get("OMP_NUM_THREADS") == "1"
        return observation, 10.0 * heavy + threads, *rest


gymnasium.register("Drift-v0", Drift, max_episode_steps=5)
gymnasium.register("Imports-v0", "drifting:Imports", max_episode_steps=5)
"""
RAISING_LINE = SOURCE[: SOURCE.index("# LINE")].count("\n") + 1
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
    for env_id in ("Drift-v0", "Imports-v0"):
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
        assert len(multiprocessing.active_children()) == 2
        tasks = env.sample_tasks(NUM_ENVS, np.random.default_rng(0))
        np.testing.assert_array_equal(env.tasks, tasks)
        tasks[1, 1] = -1.0  # this one terminates at its second step
        env.set_tasks(tasks)
        singles = [gymnasium.make("Drift-v0") for _ in range(NUM_ENVS)]
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
    assert time.monotonic() - start < 15


def test_a_dying_worker_is_named():
    assert "died in step with exit code 3" in str(run_into("die"))


@pytest.mark.parametrize(("fault", "number"), [("reward", "nan"), ("observation", "inf")])
def test_numbers_that_are_not_finite_are_faults(fault, number):
    message = str(run_into(fault))
    assert f"a non-finite {fault}" in message
    assert number in message


def test_an_observation_of_the_wrong_shape_is_a_fault():
    assert "ValueError: the observation has shape (3,)" in str(run_into("shape"))


def test_closing_lets_the_environments_close_themselves(tmp_path):
    record = tmp_path / "record"
    make(options={"fault": str(record)}, num_threads=1).close()
    # The five of the worker and the one that the parent asks for tasks.
    assert record.read_text().split() == ["closed"] * (NUM_ENVS + 1)


def test_dropping_the_environment_ends_its_workers():
    env = make(num_threads=1)
    env.reset(seed=0)
    del env


def test_a_script_without_main_guard_runs_once(tmp_path):
    import subprocess
    from pathlib import Path

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
    try:
        with pytest.raises(EnvironmentFault, match="sample_tasks raised KeyError: 'goal'"):
            env.sample_tasks(6, np.random.default_rng(0))
    finally:
        env.close()


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
