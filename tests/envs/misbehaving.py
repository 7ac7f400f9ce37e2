"""A user's module: an environment that goes wrong in the way that it is asked to."""

import ctypes
import os
import random
import subprocess
import sys
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box

if os.environ.get("MISBEHAVING_IMPORT") == "raise":
    raise RuntimeError("no import")
if os.environ.get("MISBEHAVING_IMPORT") == "exit":
    sys.exit(3)
if os.environ.get("MISBEHAVING_IMPORT") == "hang":
    time.sleep(600)


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


def act_up(how):
    if how == "raise":
        raise KeyError("boom")
    if how == "sys.exit":
        sys.exit(9)
    if how == "os._exit":
        os._exit(7)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "generator exit":
        raise GeneratorExit
    if how == "unprintable":
        raise UnprintableError
    if how == "long":
        raise ValueError("x" * 1_000_000)
    if how == "escape":
        raise ValueError("\x1b[31m red \udcff\n second line")
    if how == "recursion":
        act_up(how)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "hang":
        time.sleep(600)
    if how == "spin":
        while True:
            pass


class Misbehaving(gymnasium.Env):
    """A point on a line; `where` and `how` say what goes wrong, `returns` what step returns."""

    task_parameter_names = ("goal",)

    def __init__(self, where="", how="", late=False, observation="float32", action="float32"):
        self.where, self.how, self.late = where, how, late
        kind = np.dtype(observation)
        self.observation_space = Box(0 if kind.kind == "u" else -100, 100, (2,), kind.type)
        self.action_space = {
            "unbounded": Box(-np.inf, np.inf, (1,)),
            "no choice": Box(1, 1, (1,)),
            "empty": Box(-1, 1, (0,)),
        }.get(action) or Box(-1, 1, (1,), np.dtype(action).type)
        self.num_steps = 0
        self.misbehave("init")

    def misbehave(self, where):
        if where == self.where and (not self.late or self.num_steps > 30):
            act_up(self.how)

    def sample_tasks(self, num_tasks, rng):
        self.misbehave("sample_tasks")
        wrong = {
            "None": None,
            "dictionaries": [{"goal": 1.0}] * num_tasks,
            "strings": [["1.0"]] * num_tasks,
            "vector": np.zeros(num_tasks),
            "short": np.zeros((num_tasks - 1, 1)),
            "empty": np.zeros((num_tasks, 0)),
            "nan": np.full((num_tasks, 1), np.nan),
            "two": np.zeros((num_tasks, 2)),
            "complex": np.zeros((num_tasks, 1), complex),
        }
        if self.where == "tasks" and self.how in wrong:
            return wrong[self.how]
        if (self.where, self.how) == ("tasks", "global"):
            return np.random.uniform(-1, 1, (num_tasks, 1))
        if (self.where, self.how) == ("tasks", "unseeded"):
            return np.random.default_rng().uniform(-1, 1, (num_tasks, 1))
        if (self.where, self.how) == ("tasks", "constant"):
            return np.zeros((num_tasks, 1))
        return rng.uniform(-1, 1, (num_tasks, 1))

    def set_task(self, task):
        self.misbehave("set_task")
        self.goal = float(task[0])

    def observe(self):
        observation = np.array([self.position, self.t / 10], np.float32)
        wrong = {
            "None": None,
            "shape": np.zeros(3, np.float32),
            "object": np.array([None, 1], object),
            "strings": ["a", "b"],
            "ragged": [[1.0], 2.0],
            "nan": np.full(2, np.nan, np.float32),
            "list": observation.tolist(),
            "float": observation,
            "large": np.array([300, 0]),
            "small": np.array([30, 0]),
        }
        return wrong[self.how] if self.where == "observation" else observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.misbehave("reset")
        self.position, self.t = 0.1 * self.np_random.normal(), 0
        if self.where == "goal":
            self.goal = float(self.np_random.uniform(-1, 1))
        if self.where == "reset returns":
            return {"observation": self.observe(), "None": None}[self.how]
        return self.observe(), {"reset": 1} if self.where != "reset info" else None

    def step(self, action):
        self.num_steps += 1
        self.t += 1
        self.misbehave("step")
        self.position += 0.1 * float(np.asarray(action).reshape(-1)[0])
        if self.where == "numpy":
            self.position += np.random.normal()
        if self.where == "random":
            self.position += random.random()
        if self.where == "counter":
            self.position += 0.01 * self.num_steps
        result = [self.observe(), -abs(self.position - self.goal), False, False, {}]
        if self.where == "values":
            return tuple(result[: self.how]) if isinstance(self.how, int) else result
        place = {"reward": 1, "terminated": 2, "truncated": 3, "info": 4}.get(self.where)
        if place is not None:
            result[place] = {
                "None": None,
                "text": "1.5",
                "complex": 1 + 1j,
                "nan": float("nan"),
                "infinite": float("inf"),
                "pair": np.zeros(2),
                "one": np.array([result[place]]),
                "one by one": np.array([[result[place]]]),
                "integer": 0,
                "two": 2,
                "list": [],
                "diverged text": {"diverged": "yes"},
                "success text": {"success": "no"},
                "success": {"success": np.float64(self.t >= 3)},
                "success None": {"success": None},
            }[self.how]
        return tuple(result)

    def close(self):
        self.misbehave("close")


class Program(Misbehaving):
    """Has a program beside it, as a simulator is, which only `close` ends."""

    def __init__(self, **options):
        self.program = subprocess.Popen(["sleep", "7771"])
        super().__init__(**options)

    def close(self):
        self.program.terminate()
        self.program.wait()
        with open("closed.txt", "a") as file:
            file.write("closed ")


class Careless(Misbehaving):
    """Starts programs that nobody ends: one of its own session, one beside a fork of itself."""

    def reset(self, **options):
        subprocess.Popen(["sleep", "7772"], start_new_session=True)
        subprocess.Popen(["sleep", "7773"])
        return super().reset(**options)


class NoGenerator(Misbehaving):
    def sample_tasks(self, num_tasks):
        return np.random.uniform(-1, 1, (num_tasks, 1))


class NoTask(Misbehaving):
    def set_task(self):
        pass


class NameOfLetters(Misbehaving):
    task_parameter_names = "goal"


class RandomMaking(Misbehaving):
    def __init__(self):
        super().__init__()
        self.offset = np.random.default_rng().uniform()

    def observe(self):
        return super().observe() + np.float32(self.offset)


class Sparse(Misbehaving):
    """Never pays: no test can see what its task is."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 0.0, *rest


class Slow(Misbehaving):
    def __init__(self, seconds=0.0, **options):
        time.sleep(seconds)
        super().__init__(**options)


class SlowStep(Misbehaving):
    def __init__(self, seconds):
        self.seconds = seconds
        super().__init__()

    def step(self, action):
        time.sleep(self.seconds)
        return super().step(action)


class SlowInWorkers(Misbehaving):
    """Its first environments are made at once, then one takes too long."""

    num_made = 0

    def __init__(self):
        super().__init__()
        SlowInWorkers.num_made += 1
        if SlowInWorkers.num_made == 3:
            time.sleep(600)


class Narrowed(gymnasium.Wrapper):
    """A wrapper that gives its environment other tasks."""

    task_parameter_names = ("aim",)
    task_range = ((0.9,), (1.0,))

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(0.9, 1.0, (num_tasks, 1))

    def set_task(self, task):
        self.env.unwrapped.set_task(2 * task)


class Gravity(gymnasium.Wrapper):
    """Tasks for an environment that somebody else wrote."""

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(5, 15, (num_tasks, 1))

    def set_task(self, task):
        self.unwrapped.g = float(task[0])


class OwnStatistics(gymnasium.ObservationWrapper):
    """Counts what it has seen, under a name of its own."""

    seen = 0

    def observation(self, observation):
        self.seen += 1
        return observation + np.float32(self.seen)


class Listed(Misbehaving):
    """Five tasks, some of which may be held out."""

    task_parameter_names = ("index",)

    def __init__(self, finite=((0,), (1,), (2,), (3,), (4,)), test=None, highest=4):
        super().__init__()
        if finite is not None:
            self.finite_tasks = finite
        if test is not None:
            self.test_tasks = test
        self.highest = highest

    def sample_tasks(self, num_tasks, rng):
        return rng.integers(0, self.highest + 1, (num_tasks, 1))


for kind in (
    *(Misbehaving, Program, Careless, NoGenerator, NoTask, NameOfLetters, RandomMaking, Sparse),
    *(Slow, SlowStep, SlowInWorkers, Listed),
):
    gymnasium.register(f"{kind.__name__}-v0", kind)
wrappers = gymnasium.wrappers
for name, entry_point in {
    "Narrowed": lambda **o: Narrowed(Misbehaving(**o)),
    "Gravity": lambda **o: Gravity(gymnasium.make("Pendulum-v1", **o)),
    "NormalizeReward": lambda **o: wrappers.NormalizeReward(Misbehaving(**o)),
    "NormalizeObservation": lambda **o: wrappers.NormalizeObservation(Misbehaving(**o)),
    "OwnStatistics": lambda **o: wrappers.TransformReward(
        OwnStatistics(Misbehaving(**o)), lambda reward: reward
    ),
    "Clipped": lambda **o: wrappers.ClipAction(Misbehaving(**o)),
}.items():
    gymnasium.register(f"{name}-v0", entry_point)
gymnasium.register("Frozen-v0", lambda: _frozen())
gymnasium.register("Short-v0", Misbehaving, max_episode_steps=5)


def _frozen():
    env = wrappers.NormalizeReward(Misbehaving())
    env.update_running_mean = False
    return env
