"""The bandit against its closed forms."""

import numpy as np
import pytest

import envs

NUM_ENVS = 20_000


def played(choose, num_arms: int, num_pulls: int) -> np.ndarray:
    """Total reward of an episode of each of many bandits; ``choose``: (tasks, rng) -> arms."""
    options = {"num_arms": num_arms, "num_pulls": num_pulls}
    env = envs.make_task_vector_env("Bandit-v0", NUM_ENVS, options=options)
    rng = np.random.default_rng(1)
    tasks = env.sample_tasks(NUM_ENVS, rng)
    env.set_tasks(tasks)
    observation, _ = env.reset(seed=list(range(NUM_ENVS)))
    total = np.zeros(NUM_ENVS)
    for pull in range(1, num_pulls + 1):
        assert (observation == 1.0).all()
        observation, reward, terminated, truncated, _ = env.step(choose(tasks, rng))
        assert set(np.unique(reward)) <= {0.0, 1.0}
        assert (terminated == (pull == num_pulls)).all()
        assert not truncated.any()
        total += reward
    return total


@pytest.mark.parametrize(("num_arms", "num_pulls"), [(5, 10), (2, 7)])
def test_random_arms_pay_half_and_the_best_one_k_over_k_plus_one(num_arms, num_pulls):
    random = played(lambda tasks, rng: rng.integers(num_arms, size=NUM_ENVS), num_arms, num_pulls)
    best = played(lambda tasks, rng: tasks.argmax(1), num_arms, num_pulls)
    # The greatest of K uniform numbers is K / (K + 1) on average.
    for total, expected in ((random, 0.5), (best, num_arms / (num_arms + 1))):
        error = 5 * total.std() / np.sqrt(NUM_ENVS)
        assert abs(total.mean() - expected * num_pulls) < error


def test_rewards_are_of_the_seed_and_not_of_the_other_arms():
    env = envs.make_task_vector_env("Bandit-v0", 2, options={"num_arms": 2, "num_pulls": 50})
    rewards = []
    for first, arm in ((0.3, 0), (0.3, 0), (0.3, 1), (0.9, 0)):
        env.set_tasks(np.array([[first, 0.3]] * 2))
        env.reset(seed=[4, 5])
        rewards.append(np.stack([env.step(np.full(2, arm))[1] for _ in range(50)]))
    assert np.array_equal(rewards[0], rewards[1])
    # The chances are those of the pulls: two arms of one probability pay at the same pulls.
    assert np.array_equal(rewards[0], rewards[2])
    assert (rewards[0] <= rewards[3]).all()
    assert rewards[3].sum() > rewards[0].sum()
    assert not np.array_equal(rewards[0][:, 0], rewards[0][:, 1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_arms": 1}, "num_arms must be an integer of at least 2, not 1"),
        ({"num_pulls": 0}, "num_pulls must be an integer of at least 1, not 0"),
        ({"num_pulls": 2.5}, "num_pulls must be an integer of at least 1, not 2.5"),
    ],
)
def test_options_that_make_no_bandit(options, told):
    with pytest.raises(ValueError, match=told):
        envs.make_task_vector_env("Bandit-v0", 2, options=options)


@pytest.mark.parametrize("action", [5, -1, 0.5, np.nan])
def test_an_arm_that_there_is_not(action):
    env = envs.make_task_vector_env("Bandit-v0", 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"must be choices of Discrete\(5\), but .* environment 1"):
        env.step(np.array([0, action]))
