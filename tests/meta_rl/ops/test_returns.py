"""Returns and generalised advantages against arithmetic by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import vmap
from torch.testing import assert_close

from meta_rl.ops.returns import discounted_sums, generalised_advantages


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def random_episodes(seed, *shape):
    """Reward, value, bootstrap value and a discount that is zero at about every fifth step."""
    generator = torch.Generator().manual_seed(seed)
    reward, value = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    bootstrap_value = torch.randn(shape[:-1], dtype=torch.float64, generator=generator)
    terminated = torch.rand(shape, generator=generator) < 0.2
    return reward, value, bootstrap_value, 0.9 * ~terminated


def test_discounted_sums():
    # 3; 2 + .5 * 3; 1 + .5 * 3.5
    assert_close(discounted_sums(f64([1, 2, 3]), f64([0.5] * 3)), f64([2.75, 3.5, 3]))


def test_the_factor_of_each_step_is_its_own():
    # G_2 = 3; G_1 = 2 + .5 * 3; step 0 terminated, so that G_0 = 1; the last factor meets zero.
    assert_close(discounted_sums(f64([1, 2, 3]), f64([0, 0.5, 7])), f64([1, 3.5, 3]))


@pytest.mark.parametrize(
    ("gamma", "gae_lambda", "value", "bootstrap_value", "reward", "advantage"),
    [
        # A_2 = 2 - 3; A_1 = (-1.5 + .9 * 3 - .5) + .63 A_2; A_0 = (.9 * .5 - 1) + .63 A_1
        (0.9, 0.7, [1, 0.5, 3], 0, [0, -1.5, 2], [-0.5059, 0.07, -1]),
        # A_1 = 9 - .9 * 7 - 2; A_0 = (1 + .9 * 2 - 3) + .63 A_1
        (0.9, 0.7, [3, 2], -7, [1, 9], [0.241, 0.7]),
        # Undiscounted return-to-go (5, 4, 3, 2, 1) less value, and (6, 5, 3) less value.
        (1, 1, [1, 2, 3, 4, 5], 0, [1] * 5, [4, 2, 0, -2, -4]),
        (1, 1, [2, 4, 6], 0, [1, 2, 3], [4, 1, -3]),
        # A_1 = 2 - 1; A_0 = (3 + .99 - 2) + .9405
        (0.99, 0.95, [2, 1], 0, [3, 2], [2.9305, 1]),
    ],
)
def test_advantages_by_hand(gamma, gae_lambda, value, bootstrap_value, reward, advantage):
    result = generalised_advantages(
        f64(reward),
        f64(value),
        f64(bootstrap_value),
        torch.full((len(reward),), gamma, dtype=torch.float64),
        torch.ones(len(reward), dtype=torch.bool),
        gae_lambda=gae_lambda,
    )
    assert_close(result, f64(advantage))


def test_termination_shuts_out_the_bootstrap_and_truncation_does_not():
    def advantages(discount):
        return generalised_advantages(
            f64([0, -1.5, 2]),
            f64([1, 0.5, 3]),
            f64(100),
            f64(discount),
            torch.ones(3),
            gae_lambda=0.7,
        )

    assert_close(advantages([0.9, 0.9, 0]), f64([-0.5059, 0.07, -1]))
    # The last delta is now 2 + .9 * 100 - 3 = 89; .7 + .63 * 89; -.55 + .63 * 56.77
    assert_close(advantages([0.9, 0.9, 0.9]), f64([35.2151, 56.77, 89]))


def test_an_episode_cut_early_bootstraps_from_the_next_value_and_padding_is_zero():
    result = generalised_advantages(
        f64([1, 9, 0, 0]),
        f64([3, 2, -7, 50]),
        f64(1000),
        f64([0.9] * 4),
        torch.tensor([True, True, False, False]),
        gae_lambda=0.7,
    )
    # As above with bootstrap -7: it is the value one step after the last valid one.
    assert_close(result, f64([0.241, 0.7, 0, 0]))


@given(seed=st.integers(0, 2**31), time=st.integers(1, 12))
@settings(deadline=None, max_examples=25)
def test_lambda_one_gives_return_less_value_and_lambda_zero_the_td_error(seed, time):
    reward, value, bootstrap_value, discount = random_episodes(seed, 3, time)
    ones = torch.ones_like(reward)

    def advantages(gae_lambda):
        return generalised_advantages(
            reward, value, bootstrap_value, discount, ones, gae_lambda=gae_lambda
        )

    final_reward = reward.clone()
    final_reward[:, -1] += discount[:, -1] * bootstrap_value
    assert_close(advantages(1.0), discounted_sums(final_reward, discount) - value)
    next_value = torch.cat([value[:, 1:], bootstrap_value[:, None]], dim=1)
    assert_close(advantages(0.0), reward + discount * next_value - value)


@given(seed=st.integers(0, 2**31), gae_lambda=st.floats(0, 1))
@settings(deadline=None, max_examples=25)
def test_leading_axes_and_vmap_equal_a_loop(seed, gae_lambda):
    reward, value, bootstrap_value, discount = random_episodes(seed, 2, 3, 5)
    length = torch.arange(6).view(2, 3, 1)
    arguments = (reward, value, bootstrap_value, discount, torch.arange(5) < length)

    def advantages(*arguments):
        return generalised_advantages(*arguments, gae_lambda=gae_lambda)

    loop = torch.stack(
        [
            torch.stack([advantages(*(x[i, j] for x in arguments)) for j in range(3)])
            for i in range(2)
        ]
    )
    assert_close(advantages(*arguments), loop, rtol=0, atol=1e-13)
    assert_close(vmap(advantages)(*arguments), loop, rtol=0, atol=1e-13)
