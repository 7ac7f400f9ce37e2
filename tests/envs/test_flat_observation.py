"""Observations of any structure become vectors, or are refused by name."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from envs.env_returns import ReturnChecks
from envs.flat_observation import FlatObservation, can_be_flat
from envs.user_fault import InvalidReturn

IMAGE = Box(0, 255, (2, 2, 3), np.uint8)
SPACE = Dict(
    {
        "place": Box(-1.0, 2.0, (2,), np.float32),
        "picture": IMAGE,
        "rest": Tuple((Discrete(3, start=5), MultiDiscrete([2, 3]), MultiBinary(2))),
    }
)


def observation():
    return {
        "place": np.array([0.5, -1.0], np.float32),
        "picture": np.full((2, 2, 3), 51, np.uint8),
        "rest": (np.int64(6), np.array([1, 2]), np.array([0, 1], np.int8)),
    }


class Showing(gymnasium.Env):
    action_space = Discrete(2)

    def __init__(self, space, shown):
        self.observation_space, self.shown = space, shown

    def reset(self, *, seed=None, options=None):
        return self.shown, {}

    def step(self, action):
        return self.shown, 1.0, False, False, {}


def test_everything_is_in_the_vector_and_pictures_are_scaled():
    env = FlatObservation(Showing(SPACE, observation()))
    vector, _ = env.reset()
    # A Dict sorts nothing here: the order is that of its entries.
    expected = {
        "place": [0.5, -1.0],
        "picture": [0.2] * 12,
        "rest": [0, 1, 0, 0, 1, 0, 0, 1, 0, 1],
    }
    flat = [number for name in SPACE.spaces for number in expected[name]]
    np.testing.assert_allclose(vector, flat, rtol=1e-6)
    assert vector.dtype == np.float32
    assert env.observation_space.contains(vector)
    low = {"place": [-1, -1], "picture": [0] * 12, "rest": [0] * 10}
    high = {"place": [2, 2], "picture": [1] * 12, "rest": [1] * 10}
    for bounds, found in ((low, env.observation_space.low), (high, env.observation_space.high)):
        assert found.tolist() == [number for name in SPACE.spaces for number in bounds[name]]
    stepped, *rest = env.step(1)
    np.testing.assert_array_equal(stepped, vector)
    assert rest == [1.0, False, False, {}]


@pytest.mark.parametrize(
    ("space", "shown", "told"),
    [
        (SPACE, {"place": np.zeros(2, np.float32)}, r"entries \['place'\]; its space has \['pict"),
        (SPACE, 3.0, "as observation; it should be a dictionary"),
        (Tuple((Discrete(2), Discrete(2))), {0: 1, 1: 1}, "it should be a tuple"),
        (Discrete(2), 2, r"it should be a choice of Discrete\(2\)"),
        (Discrete(2), 0.5, r"it should be a choice of Discrete\(2\)"),
        (IMAGE, np.zeros((2, 2), np.uint8), r"of shape \(2, 2\); its space has shape \(2, 2, 3\)"),
        (IMAGE, np.zeros((2, 2, 3)), "would cut fractions off"),
    ],
)
def test_what_is_not_of_its_space_is_refused(space, shown, told):
    env = FlatObservation(Showing(space, shown))
    with pytest.raises(InvalidReturn, match=told):
        env.reset()
    with pytest.raises(InvalidReturn, match=told):
        env.step(0)


def test_a_return_of_another_form_is_left_to_the_checks():
    env = Showing(SPACE, observation())
    env.reset = lambda **options: observation()
    with pytest.raises(InvalidReturn, match="it should return"):
        ReturnChecks(FlatObservation(env)).reset()


def test_what_has_no_vector():
    assert can_be_flat(SPACE)
    assert not can_be_flat(Text(3))
    assert not can_be_flat(Dict({"words": Text(3), "place": Box(0, 1, (1,))}))
    assert not can_be_flat(Dict({}))


def test_the_finest_type_of_its_parts():
    space = Dict({"fine": Box(-1, 1, (1,), np.float64), "count": Discrete(2)})
    env = FlatObservation(Showing(space, {"fine": np.array([1e-9]), "count": 1}))
    vector, _ = env.reset()
    assert vector.dtype == np.float64
    assert 1e-9 in vector
