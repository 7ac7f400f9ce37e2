"""Environments by the settings that name them."""

import numpy as np
import pytest

from meta_rl.config import config_from_mapping
from meta_rl.rollouts.environments import EnvironmentFault, make_env

# A user's module: does nothing, in spaces of choice.
STILL = """
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text

SPACES = {
    "vector": Box(-1.0, 1.0, (2,), np.float64),
    "matrix": Box(-1.0, 1.0, (2, 2), np.float64),
    "half": Box(-np.inf, 1.0, (2,), np.float64),
    "number": Discrete(2),
    "pair": Dict({"place": Box(-1.0, 1.0, (2,)), "where": Discrete(3)}),
    "words": Text(3),
    "bits": MultiBinary(3),
    "one": MultiDiscrete([1, 1]),
    "table": MultiDiscrete([[2, 2], [2, 2]]),
}


class Still(gymnasium.Env):
    def __init__(self, observation, action):
        self.observation_space, self.action_space = SPACES[observation], SPACES[action]

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(size=(num_tasks, 1))

    def set_task(self, task):
        pass


gymnasium.register("Still-v0", Still)
"""


def settings(env_id: str, **env):
    rollout = {"horizon": 3, "num_threads": 1}
    return config_from_mapping({"env": {"id": env_id, **env}, "rollout": rollout}, "test")


def test_the_settings_make_the_environment():
    config = settings("HalfCheetahVel-v0", options={"velocity_range": [1.0, 1.5]})
    env = make_env(config, num_tasks=2, num_episodes=2)
    assert env.num_envs == 4
    tasks = env.sample_tasks(100, np.random.default_rng(0))
    assert 1.0 <= tasks.min() < tasks.max() <= 1.5
    for shard in env.shards:
        shard.reset(seed=0)
        for t in range(3):
            truncated = shard.step(np.zeros((2, 6)))[3]
            assert (truncated == (t == 2)).all(), "the horizon is the time limit"
    env.close()


@pytest.mark.parametrize(
    ("env_id", "num_threads", "num_tasks", "num_shards", "num_parallel"),
    [
        ("HalfCheetahVel-v0", 2, 3, 2, 2),
        ("HalfCheetahVel-v0", 1, 3, 2, 1),
        ("HalfCheetahVel-v0", 2, 1, 1, 1),
        ("Navigation2D-v0", 2, 3, 1, 1),
    ],
)
def test_two_shards_where_the_simulator_has_threads(
    env_id, num_threads, num_tasks, num_shards, num_parallel
):
    rollout = {"horizon": 3, "num_threads": num_threads}
    config = config_from_mapping({"env": {"id": env_id}, "rollout": rollout}, "test")
    env = make_env(config, num_tasks, num_episodes=2)
    assert (len(env.shards), env.num_parallel) == (num_shards, num_parallel)
    assert env.num_envs == 2 * num_tasks
    env.close()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"env_id": "HalfCheetaVel-v0"},
            r"env.id=HalfCheetaVel-v0: .*\(did you mean HalfCheetahVel",
        ),
        ({"env_id": "nowhere:A-v0"}, "the module nowhere cannot be found"),
        ({"env_id": "Pendulum-v1"}, "not an environment with tasks: .* no method sample_tasks"),
        (
            {"env_id": "HalfCheetahVel-v0", "options": {"velocity_rnge": [0, 1]}},
            r"no option 'velocity_rnge' \(did you mean velocity_range\?\)",
        ),
        (
            {"env_id": "HalfCheetahVel-v0", "options": {"velocity_range": [2, 1]}},
            "velocity_range must be two finite numbers in ascending order",
        ),
    ],
)
def test_an_environment_that_there_is_not(env, message):
    with pytest.raises(EnvironmentFault, match=message):
        make_env(settings(**env), num_tasks=2, num_episodes=1)


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        ("vector", "words", r"the action space must be a Box, Discrete or MultiDiscrete, not Text"),
        ("vector", "bits", r"not MultiBinary\(3\); MultiDiscrete\(\[2\] \* 3\) says the same"),
        ("vector", "one", "the action space leaves no choice"),
        ("vector", "table", r"the action space must have one axis, not the shape \(2, 2\)"),
        (
            "number",
            "vector",
            r"must be a Box, not Discrete\(2\); env.flatten_observations=true ",
        ),
        (
            "pair",
            "number",
            r"must be a Box, not Dict.*; env.flatten_observations=true make",
        ),
        ("words", "number", r"the observation space must be a Box, not Text"),
        ("vector", "matrix", r"the action space must be a vector, not of shape \(2, 2\)"),
        ("matrix", "vector", r"not of shape \(2, 2\); env.flatten_observations=true makes a vec"),
        ("vector", "half", r"the action space must have finite bounds, not Box\(-inf"),
    ],
)
def test_spaces_that_the_policy_does_not_fit(observation, action, message, tmp_path, monkeypatch):
    (tmp_path / "standing.py").write_text(STILL)
    monkeypatch.syspath_prepend(str(tmp_path))
    options = {"observation": observation, "action": action}
    with pytest.raises(EnvironmentFault, match=f"env.id=standing:Still-v0: .*{message}"):
        make_env(settings("standing:Still-v0", options=options), num_tasks=2, num_episodes=1)
