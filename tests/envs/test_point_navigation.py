"""Navigation2D against arithmetic by hand."""

import numpy as np

import envs


def make(goals):
    env = envs.make_task_vector_env("Navigation2D-v0", len(goals))
    env.set_tasks(np.array(goals))
    env.reset(seed=0)
    return env


def test_moves_by_the_clipped_action_and_pays_the_distance():
    env = make([[0.3, 0.4], [0.1, 0.0]])
    # u = (.5, -.05) is clipped to (.1, -.05).
    observation, reward, terminated, truncated, _ = env.step(np.array([[0.5, -0.05], [0.0, 0.0]]))
    np.testing.assert_array_equal(observation, [[0.1, -0.05], [0.0, 0.0]])
    # |(.1, -.05) - (.3, .4)| = sqrt(.04 + .2025); |(0, 0) - (.1, 0)| = .1
    np.testing.assert_allclose(reward, [-np.sqrt(0.2425), -0.1], rtol=1e-15)
    assert not terminated.any()
    assert not truncated.any()


def test_reaching_the_goal_terminates_that_environment_only():
    env = make([[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]])
    # Off by (.009, .009): reached. Off by .011 in one coordinate: not.
    action = np.array([[0.091, 0.091], [0.1, 0.089], [0.089, 0.1]])
    _, _, terminated, truncated, _ = env.step(action)
    np.testing.assert_array_equal(terminated, [True, False, False])
    assert not truncated.any()
    observation, reward, terminated, _, _ = env.step(np.full((3, 2), 0.05))
    np.testing.assert_array_equal(observation[0], [0.091, 0.091])
    assert reward[0] == 0
    assert terminated[0]


def test_reference_returns_of_the_task_distribution():
    env = envs.make_task_vector_env("Navigation2D-v0", 4000)
    goals = env.sample_tasks(4000, np.random.default_rng(0))
    assert np.abs(goals).max() <= 0.5
    np.testing.assert_allclose(goals.mean(axis=0), 0.0, atol=0.02)

    def mean_return(policy):
        env.set_tasks(goals)
        observation, _ = env.reset(seed=0)
        total = np.zeros(4000)
        for _ in range(100):
            observation, reward, *_ = env.step(policy(observation))
            total += reward
        return total.mean()

    def straight_to_the_goal(position):
        offset = goals - position
        largest = np.abs(offset).max(axis=1, keepdims=True)
        return offset * np.minimum(1.0, 0.1 / np.maximum(largest, 1e-12))

    # Published for never moving: -40.1. With the mean distance of a point of the unit square
    # from its centre, (sqrt 2 + asinh 1) / 6 = .3826, the 100 steps cost 38.26 in expectation
    # (a goal within .01 of the start, one in 2,500, ends at once).
    np.testing.assert_allclose(mean_return(np.zeros_like), -38.26, atol=0.7)
    np.testing.assert_allclose(mean_return(straight_to_the_goal), -0.54, atol=0.1)
