"""MAML-TRPO over choices: derivatives through the inner loop against finite differences."""

import pytest
import torch
from torch.func import hessian
from torch.testing import assert_close

from meta_rl.algorithms.inner_loop import InnerLoop
from meta_rl.algorithms.meta_data import MetaData, meta_data
from meta_rl.algorithms.meta_objective import (
    meta_curvature_product,
    meta_evaluation,
    meta_gradient,
)
from meta_rl.models.policy import action_distribution, make_policy
from meta_rl.ops.params import initial_params, ravel, unravel
from meta_rl.types import Params, PolicyGradientBatch

M, E, T, O = 3, 4, 2, 2  # noqa: E741
NUM_CHOICES = (3, 2)


def setting(surrogate: str) -> tuple[InnerLoop, Params, MetaData]:
    """A policy over two components, and episodes before and after one adaptation step."""
    generator = torch.Generator().manual_seed(0)
    policy = make_policy(
        O,
        len(NUM_CHOICES),
        NUM_CHOICES,
        hidden_sizes=(4,),
        activation="tanh",
        output_scale=1.0,
        init_std=1.0,
        min_std=0.1,
        generator=generator,
    ).double()
    params = initial_params(policy)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def batch() -> PolicyGradientBatch:
        observation = normal(M, E, T, O)
        distribution = action_distribution(policy, params, observation)
        action = distribution.draw(normal(M, E, T, len(NUM_CHOICES)))
        old_log_prob = distribution.log_prob(action)
        weight = torch.ones(M, E, T, dtype=torch.float64)
        return PolicyGradientBatch(observation, action, old_log_prob, normal(M, E, T), weight)

    inner_loop = InnerLoop(policy, surrogate, 0.5, 1.0, first_order=False, multi_step=False)
    return inner_loop, params, meta_data([batch(), batch()], multi_step=False)


@pytest.mark.parametrize("surrogate", ["log_prob", "likelihood_ratio"])
def test_the_meta_gradient_is_that_of_the_objective(surrogate):
    inner_loop, params, data = setting(surrogate)
    gradient, value, old = meta_gradient(inner_loop, params, [data])
    evaluate = meta_evaluation(inner_loop, params, [data], old)
    theta = ravel(params)
    assert_close(evaluate(theta).surrogate, value)
    step = 1e-6
    for i in (0, 5, -1):
        shift = torch.zeros_like(theta)
        shift[i] = step
        ends = [evaluate(theta + sign * shift).surrogate for sign in (1, -1)]
        assert_close((ends[0] - ends[1]) / (2 * step), gradient[i], rtol=1e-6, atol=1e-9)


def test_the_curvature_is_the_hessian_of_the_divergence():
    inner_loop, params, data = setting("likelihood_ratio")
    _, _, old = meta_gradient(inner_loop, params, [data])
    theta = ravel(params)

    def divergence(theta: torch.Tensor) -> torch.Tensor:
        values = [
            old_task.kl_divergence(
                inner_loop.adapted_distribution(unravel(theta, params), task)
            ).mean()
            for old_task, task in (_task(old[0], data, m) for m in range(M))
        ]
        return torch.stack(values).mean()

    exact = hessian(divergence)(theta)
    product = meta_curvature_product(inner_loop, params, [data])
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        v = torch.randn(len(theta), generator=generator, dtype=torch.float64)
        assert_close(product(v), exact @ v, rtol=1e-8, atol=1e-10)


def _task(old, data: MetaData, m: int):
    """One task's share."""
    one = MetaData(
        pre=tuple(PolicyGradientBatch(*(x[m] for x in batch)) for batch in data.pre),
        post=PolicyGradientBatch(*(x[m] for x in data.post)),
    )
    return type(old)(*(x[m] for x in old)), one
