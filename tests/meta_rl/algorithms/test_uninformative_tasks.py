"""Advantages where the data cannot carry a baseline, or say nothing at all of the actions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from meta_rl.algorithms.advantages import policy_gradient_batch
from meta_rl.ops.returns import discounted_sums
from meta_rl.types import RolloutBatch

DISCOUNTS = [(0.99, 1.0), (1.0, 1.0), (0.9, 0.7), (0.99, 0.0)]


def random_rollouts(
    *, seed=0, num_tasks=3, num_episodes=4, horizon=20, size=2, dtype=torch.float32
):
    generator = torch.Generator().manual_seed(seed)
    steps = (num_tasks, num_episodes, horizon)

    def normal(*shape):
        return torch.randn(shape, dtype=dtype, generator=generator)

    flags = torch.zeros(steps, dtype=torch.bool)
    return RolloutBatch(
        observation=normal(*steps, size),
        action=normal(*steps, 1),
        log_prob=normal(*steps),
        reward=normal(*steps),
        terminated=flags,
        truncated=flags,
        valid=~flags,
        task=np.zeros((num_tasks, 1)),
        num_diverged=0,
    )


def advantages(rollouts, discount=(0.99, 1.0), **options):
    batch = policy_gradient_batch(
        rollouts, discount_factor=discount[0], gae_lambda=discount[1], **options
    )
    return batch.advantage


@pytest.mark.parametrize(("size", "num_episodes"), [(100, 4), (100, 2), (39, 4), (400, 20)])
def test_returns_are_not_fitted_away(size, num_episodes):
    # More features than steps (100 x 4 and so on): all features together would fit every return.
    rollouts = random_rollouts(size=size, num_episodes=num_episodes)
    return_to_go = discounted_sums(rollouts.reward, torch.full_like(rollouts.reward, 0.99))
    raw = advantages(rollouts, standardise_advantages=False)
    # Four features of the time take up at most four directions of each task's returns.
    centred = return_to_go - return_to_go.mean((1, 2), keepdim=True)
    share = (raw**2).sum((1, 2)) / (centred**2).sum((1, 2))
    assert (share > 0.3).all()
    for task in range(3):
        assert np.corrcoef(raw[task].flatten(), return_to_go[task].flatten())[0, 1] > 0.5


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("size", [2, 100])
@pytest.mark.parametrize("reward", [1.0, -0.1, 1e6, 1e-6])
def test_equal_returns_say_nothing(discount, standardise, size, reward):
    rollouts = random_rollouts(size=size)
    constant = rollouts.reward.clone()
    constant[1] = reward
    options = {"standardise_advantages": standardise}
    advantage = advantages(replace(rollouts, reward=constant), discount, **options)
    assert (advantage[1] == 0).all()
    expected = advantages(rollouts, discount, **options)
    assert torch.equal(advantage[[0, 2]], expected[[0, 2]]), "other tasks are left alone"
    assert (expected[1] != 0).all()


def test_rewards_that_are_a_function_of_the_time_say_nothing():
    rollouts = random_rollouts()
    reward = torch.sin(torch.arange(20.0)).expand_as(rollouts.reward)
    assert (advantages(replace(rollouts, reward=reward)) == 0).all()


def test_equal_episodes_that_end_early_say_nothing_and_unequal_ones_do():
    rollouts = random_rollouts(num_tasks=2)
    length = torch.tensor([[5, 5, 5, 5], [5, 6, 5, 5]])
    time = torch.arange(20)
    valid = time < length[..., None]
    ended = replace(
        rollouts,
        valid=valid,
        reward=valid.float(),
        terminated=time == length[..., None] - 1,
    )
    advantage = advantages(ended)
    assert (advantage[0] == 0).all()
    assert (advantage[1][valid[1]] != 0).all()
    # One step more is more return, at equal times.
    assert (advantage[1, 1, :5] > advantage[1, 0, :5]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_returns_that_the_baseline_predicts_exactly_say_nothing(dtype):
    # The reward of the last step is linear in the observation, which never changes, and no action
    # matters: what is left is rounding.
    rollouts = random_rollouts(dtype=dtype)
    observation = rollouts.observation[:, :, :1].expand_as(rollouts.observation)
    reward = torch.zeros_like(rollouts.reward)
    reward[..., -1] = 100.0 + 3.0 * observation[:, :, 0, 0]
    exact = replace(rollouts, observation=observation, reward=reward)
    raw = advantages(exact, (1.0, 1.0), standardise_advantages=False)
    # The ridge leaves a little, which is no rounding in double precision.
    assert raw.abs().max() < 1e-3
    if dtype == torch.float32:
        assert (advantages(exact, (1.0, 1.0)) == 0).all()


@given(seed=st.integers(0, 2**31), share=st.floats(1e-4, 1.0))
@settings(deadline=None, max_examples=20)
def test_small_differences_between_large_returns_still_count(seed, share):
    rollouts = random_rollouts(seed=seed)
    reward = 1.0 + share * rollouts.reward
    advantage = advantages(replace(rollouts, reward=reward), (1.0, 1.0))
    assert_close(advantage.std((1, 2), correction=0), torch.ones(3), rtol=1e-3, atol=0)


def test_the_host_is_not_asked_what_is_informative():
    rollouts = random_rollouts(size=100)
    tensors = ("observation", "action", "log_prob", "reward", "terminated", "truncated", "valid")
    on_meta = {name: getattr(rollouts, name).to("meta") for name in tensors}
    assert advantages(replace(rollouts, **on_meta)).shape == rollouts.reward.shape
