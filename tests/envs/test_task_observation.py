"""The oracle's environment: the task is in the observation, and nothing else has changed."""

import sys
from typing import ClassVar

import gymnasium
import numpy as np
import pytest

import envs
from envs.task_observation import TaskObservationEnv

SOURCE = """
import gymnasium
import numpy as np


class Push(gymnasium.Env):
    task_parameter_names = ("goal", "friction")
    task_range = ((0.0, 0.5), (1.0, 1.0))

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform((0.0, 0.5), (1.0, 1.0), size=(num_tasks, 2))

    def set_task(self, task):
        self.goal, self.friction = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.position, {}

    def step(self, action):
        self.position = np.clip(self.position + self.friction * action, -2, 2).astype(np.float32)
        return self.position, -abs(float(self.position[0]) - self.goal), False, False, {}


gymnasium.register("Push-v0", Push, max_episode_steps=6)
"""
ENV_IDS = ["Navigation2D-v0", "HalfCheetahVel-v0", "pushing:Push-v0"]
NUM_ENVS = 3


@pytest.fixture(autouse=True)
def _user_module(tmp_path, monkeypatch):
    (tmp_path / "pushing.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("pushing", None)
    gymnasium.registry.pop("Push-v0", None)


def make(env_id):
    return envs.make_task_vector_env(env_id, NUM_ENVS, num_threads=1, max_episode_steps=4)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_the_task_is_appended_and_all_else_is_as_before(env_id):
    plain, shown = make(env_id), TaskObservationEnv(make(env_id))
    try:
        num_parameters = len(plain.task_parameter_names)
        size = plain.single_observation_space.shape[0]
        assert shown.single_observation_space.shape == (size + num_parameters,)
        assert shown.single_observation_space.dtype == plain.single_observation_space.dtype
        assert shown.action_space == plain.action_space
        assert shown.task_parameter_names == plain.task_parameter_names
        np.testing.assert_array_equal(shown.task_range, plain.task_range)
        draws = [env.sample_tasks(NUM_ENVS, np.random.default_rng(4)) for env in (plain, shown)]
        np.testing.assert_array_equal(*draws)
        actions = np.random.default_rng(0).uniform(-0.1, 0.1, (5, *plain.action_space.shape))
        for env in (plain, shown):
            env.set_tasks(draws[0])
        expected, seen = plain.reset(seed=1)[0], shown.reset(seed=1)[0]
        for action in [*actions, None]:  # one more step than the time limit has
            assert seen.dtype == shown.single_observation_space.dtype
            assert shown.observation_space.contains(seen)
            np.testing.assert_array_equal(seen[:, :size], expected)
            np.testing.assert_array_equal(seen[:, size:], draws[0].astype(seen.dtype))
            if action is None:
                break
            expected, *outcome = plain.step(action)
            seen, *shown_outcome = shown.step(action)
            for left, right in zip(outcome[:-1], shown_outcome[:-1], strict=True):
                np.testing.assert_array_equal(left, right)
            assert outcome[-1].keys() == shown_outcome[-1].keys()
        assert shown_outcome[2].all(), "truncated"
        np.testing.assert_array_equal(shown.tasks, draws[0])
    finally:
        plain.close()
        shown.close()


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_another_task_shows_at_the_next_reset_and_closing_closes_all(env_id):
    env = TaskObservationEnv(make(env_id))
    env.reset(seed=0)
    tasks = env.sample_tasks(NUM_ENVS, np.random.default_rng(9)) / 2
    env.set_tasks(tasks)
    mask = np.array([True, False, True])
    observation, _ = env.reset(options={"reset_mask": mask})
    size = len(env.task_parameter_names)
    np.testing.assert_array_equal(observation[:, -size:], tasks.astype(observation.dtype))
    inner = env.unwrapped
    assert inner is not env
    env.close()
    assert inner.closed


def test_an_integer_observation_can_hold_a_task():
    class Counting(envs.TaskVectorEnv):
        num_envs = 1
        metadata: ClassVar = {}
        task_parameter_names = ("speed",)
        single_observation_space = gymnasium.spaces.Box(0, 9, (2,), np.int64)
        single_action_space = action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)
        tasks = np.array([[0.25]])

        def reset(self, *, seed=None, options=None):
            return np.array([[3, 4]]), {}

    observation, _ = TaskObservationEnv(Counting()).reset()
    assert observation.tolist() == [[3.0, 4.0, 0.25]]
