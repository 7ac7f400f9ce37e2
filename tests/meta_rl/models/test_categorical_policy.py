"""The categorical policy, and which policy fits which actions."""

import pytest
import torch
from torch.func import grad, vmap
from torch.testing import assert_close

from meta_rl.distributions.categorical import NO_CHOICE, Categorical
from meta_rl.models.categorical_policy import CategoricalPolicy
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.models.policy import action_distribution, make_policy
from meta_rl.ops.params import initial_params


def make(action_size, num_choices, output_scale=1.0):
    return make_policy(
        3,
        action_size,
        num_choices,
        hidden_sizes=(4, 5),
        activation="tanh",
        output_scale=output_scale,
        init_std=0.5,
        min_std=0.1,
        generator=torch.Generator().manual_seed(0),
    )


def test_the_policy_fits_the_actions():
    assert isinstance(make(2, ()), GaussianPolicy)
    policy = make(2, (2, 4))
    assert isinstance(policy, CategoricalPolicy)
    # One output for each choice there is, and no spread to learn.
    assert policy.logits.layers[-1].weight.shape == (6, 5)
    assert set(initial_params(policy)) == {
        f"logits.layers.{i}.{name}" for i in (0, 2, 4) for name in ("weight", "bias")
    }


def test_each_component_has_its_own_outputs():
    policy, observation = make(2, (2, 4)), torch.randn(6, 7, 3)
    distribution, carry = policy(observation, ())
    assert carry == ()
    outputs = policy.logits(observation)
    assert_close(distribution.logits[..., 0, :2], outputs[..., :2])
    assert (distribution.logits[..., 0, 2:] == NO_CHOICE).all()
    assert_close(distribution.logits[..., 1, :], outputs[..., 2:])


def test_the_output_scale_makes_choices_nearly_uniform():
    observation = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    distribution, _ = make(1, (4,), output_scale=1e-3)(observation, ())
    assert_close(distribution.logits.softmax(-1), torch.full((50, 1, 4), 0.25), atol=1e-3, rtol=0)


def test_every_parameter_receives_a_gradient():
    policy = make(2, (2, 4))
    generator = torch.Generator().manual_seed(1)
    observation = torch.randn(20, 3, generator=generator)
    action = torch.randint(0, 2, (20, 2), generator=generator)
    gradient = grad(
        lambda params: action_distribution(policy, params, observation).log_prob(action).mean()
    )(initial_params(policy))
    for name, value in gradient.items():
        assert (value != 0).all(), name


@pytest.mark.parametrize("num_tasks", [1, 3])
def test_params_per_task_under_vmap_equal_a_loop(num_tasks):
    policy, generator = make(2, (2, 4)), torch.Generator().manual_seed(1)
    params = {
        name: torch.randn(num_tasks, *value.shape, generator=generator)
        for name, value in initial_params(policy).items()
    }
    observation = torch.randn(num_tasks, 5, 6, 3, generator=generator)
    batched = vmap(lambda p, o: action_distribution(policy, p, o))(params, observation)
    assert isinstance(batched, Categorical)
    for task in range(num_tasks):
        own = {name: value[task] for name, value in params.items()}
        single = action_distribution(policy, own, observation[task])
        assert_close(batched.logits[task], single.logits)
