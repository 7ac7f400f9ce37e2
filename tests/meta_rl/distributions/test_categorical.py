"""Categorical distributions against numbers by hand, torch.distributions, and their own draws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions
from torch.func import grad, hessian, vmap
from torch.testing import assert_close

from meta_rl.distributions.categorical import Categorical, categorical_of
from meta_rl.ops.tracing import traced

# Three components with 3, 1 and 4 choices.
NUM_CHOICES = (3, 1, 4)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def by_hand():
    return Categorical(f64([[0.2, -0.1, 0.5]]))


def random_logits(seed, *shape, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        scale * torch.randn(*shape, sum(NUM_CHOICES), dtype=torch.float64, generator=generator)
        for _ in range(2)
    ]


def references(logits):
    """Each component by itself."""
    return [distributions.Categorical(logits=x) for x in logits.split(NUM_CHOICES, dim=-1)]


def test_numbers_by_hand():
    p = by_hand()
    # exp(.2), exp(-.1), exp(.5) over their sum.
    probability = f64([0.323553703883, 0.239694479206, 0.436751816911])
    log_prob = torch.stack([p.log_prob(torch.tensor([k])) for k in range(3)])
    assert_close(log_prob.exp(), probability, rtol=0, atol=1e-12)
    assert_close(p.entropy(), f64(1.069272968595), rtol=0, atol=1e-12)
    q = Categorical(f64([[0.0, 0.3, 0.4]]))
    assert_close(p.kl_divergence(q), f64(0.030028644221), rtol=0, atol=1e-12)
    assert_close(q.kl_divergence(p), f64(0.032135074540), rtol=0, atol=1e-12)


def test_fisher_matrix_by_hand():
    p = by_hand()
    product = p.fisher_vector_product(Categorical(f64([[1.0, -2.0, 0.5]])))
    expected = f64([[0.303318443662, -0.494379607884, 0.191061164221]])
    assert_close(product.logits, expected, rtol=0, atol=1e-12)
    shift = p.fisher_vector_product(Categorical(torch.ones(1, 3, dtype=torch.float64)))
    assert_close(shift.logits, torch.zeros(1, 3, dtype=torch.float64), rtol=0, atol=1e-15)


def test_a_draw_is_the_inverse_of_the_cumulative_probabilities():
    # The sums are .3236, .5632 and 1.
    noise = torch.special.ndtri(f64([[0.3], [0.5], [0.95]]))
    action = by_hand().draw(noise)
    assert action.dtype == torch.int64
    assert action.tolist() == [[0], [1], [2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_there_is_never_drawn(dtype):
    """Also by noise that is so large that its uniform number rounds to one."""
    logits = torch.zeros(sum(NUM_CHOICES), dtype=dtype)
    noise = torch.tensor([-50.0, -9.0, 0.0, 5.0, 9.0, 50.0], dtype=dtype)
    action = categorical_of(logits, NUM_CHOICES).draw(noise[:, None].expand(-1, 3))
    assert action[0].tolist() == [0, 0, 0]
    assert action[-2:].tolist() == [[2, 0, 3]] * 2
    assert (action < torch.tensor(NUM_CHOICES)).all()


def test_draws_follow_the_probabilities():
    logits, _ = random_logits(0)
    noise = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(1)).double()
    action = categorical_of(logits, NUM_CHOICES).draw(noise)
    for component, reference in enumerate(references(logits)):
        share = action[:, component].bincount(minlength=len(reference.probs)) / len(action)
        # Five standard deviations of a share.
        bound = 5 * (reference.probs * (1 - reference.probs) / len(action)).sqrt() + 1e-12
        assert ((share - reference.probs).abs() <= bound).all()


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_agrees_with_torch_distributions_summed_over_components(seed):
    logits, other = random_logits(seed, 2, 5)
    p, q = categorical_of(logits, NUM_CHOICES), categorical_of(other, NUM_CHOICES)
    action = p.draw(torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed)).double())
    expected = sum(r.log_prob(action[..., i]) for i, r in enumerate(references(logits)))
    assert_close(p.log_prob(action), expected)
    assert_close(p.log_prob_of_draw(action, torch.zeros(2, 5, 3)), expected)
    assert_close(p.entropy(), sum(r.entropy() for r in references(logits)))
    pairs = zip(references(logits), references(other), strict=True)
    assert_close(p.kl_divergence(q), sum(distributions.kl_divergence(*pair) for pair in pairs))
    assert_close(p.kl_divergence(p), torch.zeros(2, 5, dtype=torch.float64), rtol=0, atol=1e-15)


def test_the_divergence_is_the_mean_log_ratio_of_draws():
    logits, other = random_logits(3, scale=0.7)
    p, q = categorical_of(logits, NUM_CHOICES), categorical_of(other, NUM_CHOICES)
    action = p.draw(torch.randn(40_000, 3, generator=torch.Generator().manual_seed(4)).double())
    log_ratio = p.log_prob(action) - q.log_prob(action)
    bound = 5 * log_ratio.std() / math.sqrt(len(action))
    assert (log_ratio.mean() - p.kl_divergence(q)).abs() < bound


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_fisher_matrix_is_the_hessian_of_the_kl_at_equal_arguments(seed):
    logits, tangent = random_logits(seed)
    p = categorical_of(logits, NUM_CHOICES)
    exact = hessian(lambda x: p.kl_divergence(categorical_of(x, NUM_CHOICES)))(logits) @ tangent
    # The transpose of the padding: it takes what belongs to the choices that are there.
    product = p.fisher_vector_product(categorical_of(tangent, NUM_CHOICES)).logits
    found = torch.cat([row[:n] for row, n in zip(product, NUM_CHOICES, strict=True)])
    assert_close(found, exact)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_padding_and_certainty_leave_everything_finite(scale):
    logits, other = (x.float() for x in random_logits(5, scale=scale))
    action = torch.tensor([2, 0, 3])

    def everything(logits):
        p, q = categorical_of(logits, NUM_CHOICES), categorical_of(other, NUM_CHOICES)
        return torch.stack(
            [p.log_prob(action), p.entropy(), p.kl_divergence(q), q.kl_divergence(p)]
        ).sum()

    for values in (everything(logits), grad(everything)(logits), hessian(everything)(logits)):
        assert values.isfinite().all()


def test_under_vmap_and_traced_as_in_a_loop():
    logits, tangent = random_logits(6, 4)
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(7)).double()

    def everything(logits, tangent, noise):
        p = categorical_of(logits, NUM_CHOICES)
        action = p.draw(noise)
        derivative = grad(lambda x: categorical_of(x, NUM_CHOICES).log_prob(action))(logits)
        product = p.fisher_vector_product(categorical_of(tangent, NUM_CHOICES))
        return p, action, p.log_prob(action), derivative, product

    batched = vmap(everything)(logits, tangent, noise)
    assert isinstance(batched[0], Categorical)
    fast = traced(vmap(everything), logits, tangent, noise)(logits, tangent, noise)
    rows = [everything(*row) for row in zip(logits, tangent, noise, strict=True)]
    for i in (1, 2, 3):
        expected = torch.stack([row[i] for row in rows])
        assert_close(batched[i], expected)
        assert torch.equal(fast[i], batched[i])
    for i in (0, 4):
        assert_close(batched[i].logits, torch.stack([row[i].logits for row in rows]))
