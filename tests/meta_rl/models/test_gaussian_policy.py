"""The Gaussian policy: its spread, its floor, its density and its gradients."""

import math

import pytest
import torch
from torch import distributions
from torch.func import grad, vmap
from torch.testing import assert_close

from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.models.policy import action_distribution
from meta_rl.ops.params import initial_params


def randn(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(*, init_std=0.5, min_std=0.1):
    return GaussianPolicy(
        3,
        2,
        hidden_sizes=(4, 5),
        activation="tanh",
        output_scale=1.0,
        init_std=init_std,
        min_std=min_std,
        generator=torch.Generator().manual_seed(0),
    )


def test_spread_does_not_depend_on_the_observation():
    policy = make(init_std=0.5)
    observation = randn(6, 7, 3)
    distribution, _ = policy(observation, ())
    assert distribution.mean.shape == distribution.log_std.shape == (6, 7, 2)
    assert_close(distribution.log_std, torch.full((6, 7, 2), math.log(0.5)))
    assert_close(distribution.mean, policy.mean(observation))


def test_floor_of_the_standard_deviation():
    policy = make(min_std=0.1)
    params = initial_params(policy) | {"log_std": torch.tensor([math.log(0.02), math.log(0.2)])}

    def log_std(params):
        return action_distribution(policy, params, torch.zeros(3)).log_std

    assert_close(log_std(params).exp(), torch.tensor([0.1, 0.2]))
    # Below the floor it no longer follows the parameter.
    gradient = grad(lambda params: log_std(params).sum())(params)["log_std"]
    assert_close(gradient, torch.tensor([0.0, 1.0]))


def test_log_prob_is_a_sum_over_actions():
    distribution, _ = make()(randn(6, 7, 3), ())
    action = randn(6, 7, 2)
    per_action = distributions.Normal(distribution.mean, distribution.log_std.exp())
    assert_close(distribution.log_prob(action), per_action.log_prob(action).sum(-1))


def test_every_parameter_receives_a_gradient():
    policy = make()
    observation, action = randn(20, 3), randn(20, 2, seed=2)

    def mean_log_prob(params):
        return action_distribution(policy, params, observation).log_prob(action).mean()

    params = initial_params(policy)
    gradient = grad(mean_log_prob)(params)
    assert set(gradient) == set(dict(policy.named_parameters())) == set(params)
    assert "log_std" in gradient
    for name, value in gradient.items():
        assert (value != 0).all(), name


def test_params_are_an_argument_and_a_copy():
    policy = make()
    observation = randn(4, 3)
    before = policy(observation, ())[0].mean
    params = initial_params(policy)
    assert_close(action_distribution(policy, params, observation).mean, before)
    for value in params.values():
        assert not value.requires_grad
        value.zero_()
    assert (action_distribution(policy, params, observation).mean == 0).all()
    assert torch.equal(policy(observation, ())[0].mean, before)


@pytest.mark.parametrize("num_tasks", [1, 3])
def test_params_per_task_under_vmap_equal_a_loop(num_tasks):
    policy = make()
    params = {
        name: randn(num_tasks, *value.shape) for name, value in initial_params(policy).items()
    }
    observation = randn(num_tasks, 5, 6, 3)
    batched = vmap(lambda p, o: action_distribution(policy, p, o))(params, observation)
    for task in range(num_tasks):
        task_params = {name: value[task] for name, value in params.items()}
        single = action_distribution(policy, task_params, observation[task])
        assert_close(batched.mean[task], single.mean)
        assert_close(batched.log_std[task], single.log_std)
