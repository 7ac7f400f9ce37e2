"""Diagonal Gaussians against numbers in closed form and against torch.distributions."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions
from torch.func import hessian
from torch.testing import assert_close

from meta_rl.distributions.diagonal_gaussian import DiagonalGaussian


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def random_gaussians(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return [
        DiagonalGaussian(*torch.randn(2, *shape, dtype=torch.float64, generator=generator))
        for _ in range(2)
    ]


def reference(distribution):
    return distributions.Independent(
        distributions.Normal(distribution.mean, distribution.log_std.exp()), 1
    )


def test_log_prob_by_hand():
    distribution = DiagonalGaussian(f64([1.0, 0.0]), f64([math.log(2), 0.0]))
    # z = (1, 3): -.5 - log 2 - .5 log(2 pi) and -4.5 - .5 log(2 pi), summed over the actions.
    expected = -5 - math.log(2) - math.log(2 * math.pi)
    assert_close(distribution.log_prob(f64([3.0, 3.0])), f64(expected))


def test_kl_by_hand():
    narrow = DiagonalGaussian(f64([0.0]), f64([0.0]))
    wide = DiagonalGaussian(f64([1.0]), f64([math.log(2)]))
    # log 2 + (1 + 1) / 8 - 1/2 and -log 2 + (4 + 1) / 2 - 1/2
    assert_close(narrow.kl_divergence(wide), f64(0.443147180560), rtol=0, atol=1e-12)
    assert_close(wide.kl_divergence(narrow), f64(1.306852819440), rtol=0, atol=1e-12)
    both = [DiagonalGaussian(*map(torch.cat, zip(p, p, strict=True))) for p in (narrow, wide)]
    assert_close(both[0].kl_divergence(both[1]), f64(2 * 0.443147180560), rtol=0, atol=1e-11)


@given(seed=st.integers(0, 2**31), num_actions=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_agrees_with_torch_distributions(seed, num_actions):
    p, q = random_gaussians(seed, 2, 3, num_actions)
    noise = q.mean
    action = p.mean + p.log_std.exp() * noise
    assert_close(p.log_prob(action), reference(p).log_prob(action))
    assert_close(p.log_prob_of_draw(action, noise), p.log_prob(action))
    assert_close(p.draw(noise), action)
    assert_close(p.entropy(), reference(p).entropy())
    assert_close(p.kl_divergence(q), distributions.kl_divergence(reference(p), reference(q)))
    assert (p.kl_divergence(q) > 0).all()
    assert_close(p.kl_divergence(p), torch.zeros(2, 3, dtype=torch.float64), rtol=0, atol=1e-15)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_fisher_matrix_is_the_hessian_of_the_kl_at_equal_arguments(seed):
    p, tangent = random_gaussians(seed, 2)

    def kl(parameters):
        return p.kl_divergence(DiagonalGaussian(*parameters.view(2, 2)))

    product = torch.cat(p.fisher_vector_product(tangent))
    assert_close(product, hessian(kl)(torch.cat(p)) @ torch.cat(tangent))


def test_fisher_matrix_by_hand():
    p = DiagonalGaussian(f64([5.0]), f64([math.log(2)]))
    product = p.fisher_vector_product(DiagonalGaussian(f64([3.0]), f64([7.0])))
    # diag(1 / 2^2, 2)
    assert_close(product, DiagonalGaussian(f64([0.75]), f64([14.0])))
