"""A policy's actions as each kind of space takes them."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from meta_rl.rollouts.action_spaces import (
    action_size,
    environment_actions,
    num_choices,
    policy_actions,
)


@pytest.mark.parametrize(
    ("space", "size", "choices"),
    [
        (Box(-1.0, 1.0, (3,)), 3, ()),
        (Discrete(4, start=-2), 1, (4,)),
        (MultiDiscrete([2, 5]), 2, (2, 5)),
    ],
)
def test_sizes(space, size, choices):
    assert action_size(space) == size
    assert num_choices(space) == choices


def test_boxes_are_rescaled_and_clipped():
    space = Box(np.array([-1.0, 0.0]), np.array([3.0, 0.5]), dtype=np.float64)
    action = np.array([[-1.0, 0.0], [1.0, 3.0], [0.5, -2.0]])
    expected = [[-1.0, 0.25], [3.0, 0.5], [2.0, 0.0]]
    np.testing.assert_allclose(environment_actions(space)(action), expected)


def test_choices_are_counted_from_the_start():
    drawn = np.array([[0], [3]])
    chosen = environment_actions(Discrete(4, start=-2))(drawn)
    assert chosen.tolist() == [-2, 1]
    assert chosen.dtype == np.int64
    space = MultiDiscrete([2, 5], start=np.array([1, -3]))
    chosen = environment_actions(space)(np.array([[0, 0], [1, 4]]))
    assert chosen.tolist() == [[1, -3], [2, 1]]
    assert all(space.contains(row) for row in chosen)
    # A whole episode at once, as a replay takes it.
    assert environment_actions(space)(np.zeros((7, 2), np.int64)).shape == (7, 2)


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (Box(np.float32([-1.0, 0.0]), np.float32([3.0, 0.5])), [[-1.0, 0.25], [0.5, 1.0]]),
        (Discrete(4, start=-2), [[0], [3]]),
        (MultiDiscrete([2, 5], start=[1, -3]), [[0, 0], [1, 4]]),
    ],
)
def test_actions_go_there_and_back(space, action):
    there = environment_actions(space)(np.array(action))
    back = policy_actions(space)(there)
    np.testing.assert_allclose(back, action, atol=1e-6)
    assert (back.dtype.kind == "f") == isinstance(space, Box)


def test_a_component_without_a_choice_is_zero():
    space = Box(np.array([1.0, 0.0]), np.array([1.0, 2.0]), dtype=np.float64)
    assert policy_actions(space)(np.array([1.0, 2.0])).tolist() == [0.0, 1.0]
