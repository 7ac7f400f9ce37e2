"""Surrogates and their first two derivatives, by enumerating every episode of a Bernoulli policy.

With p = sigmoid(theta), an expectation is a finite sum over action sequences, each weighted by
its probability at the theta that draws it: nothing is sampled.
"""

import itertools

import pytest
import torch
from torch.func import grad, vmap
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from meta_rl.algorithms.adaptation import adapt
from meta_rl.ops.objectives import (
    SURROGATES,
    dice_surrogate,
    likelihood_ratio_surrogate,
    log_prob_surrogate,
)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


THETA = f64(0.4)

# Return-to-go of every action sequence.
ONE_STEP = {(1,): [2.0], (0,): [-1.0]}
# r_1 = a_1, r_2 = 2 a_1 a_2 - a_2
TWO_STEPS = {
    (a1, a2): [a1 + 2 * a1 * a2 - a2, 2 * a1 * a2 - a2]
    for a1, a2 in itertools.product((0.0, 1.0), repeat=2)
}


def log_prob(theta, actions):
    action = f64(actions)
    return action * logsigmoid(theta) + (1 - action) * logsigmoid(-theta)


def expected_return(theta, episodes):
    """J as a function of theta, from the definition."""
    return sum(
        log_prob(theta, actions).sum().exp() * return_to_go[0]
        for actions, return_to_go in episodes.items()
    )


def expected_surrogate(surrogate, episodes, drawn_at):
    """The surrogate's expectation over episodes drawn at a fixed theta, times the horizon."""

    def expectation(theta):
        total = f64(0.0)
        for actions, return_to_go in episodes.items():
            old = log_prob(drawn_at, actions)
            value = surrogate(
                log_prob(theta, actions)[None],
                old[None],
                f64([return_to_go]),
                torch.ones(1, len(actions)),
            )
            total = total + old.sum().exp() * value * len(actions)
        return total

    return expectation


def derivatives(function):
    """Value and the first two derivatives at THETA."""
    return torch.stack([function(THETA), grad(function)(THETA), grad(grad(function))(THETA)])


def test_expected_returns_are_the_known_ones():
    known = f64([0.796062980337, 0.720782237225, -0.142264624885])
    assert_close(derivatives(lambda t: expected_return(t, ONE_STEP)), known, rtol=0, atol=1e-12)
    known = f64([0.716853828742, 0.575364574739, 0.117338136592])
    assert_close(derivatives(lambda t: expected_return(t, TWO_STEPS)), known, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("episodes", "name", "first", "second"),
    [
        (ONE_STEP, "log_prob", 0.720782237225, -0.191262685313),
        (ONE_STEP, "likelihood_ratio", 0.720782237225, -0.142264624885),
        (ONE_STEP, "dice", 0.720782237225, -0.142264624885),
        (TWO_STEPS, "log_prob", 0.575364574739, -0.200622527278),
        (TWO_STEPS, "likelihood_ratio", 0.575364574739, -0.113562767185),
        (TWO_STEPS, "dice", 0.575364574739, 0.117338136592),
    ],
)
def test_first_and_second_derivatives(episodes, name, first, second):
    expectation = expected_surrogate(SURROGATES[name], episodes, THETA)
    assert_close(derivatives(expectation)[1:], f64([first, second]), rtol=0, atol=1e-12)


def test_dice_has_the_third_derivative_too():
    expectation = expected_surrogate(dice_surrogate, ONE_STEP, THETA)
    third = grad(grad(grad(expectation)))(THETA)
    assert_close(third, f64(-0.318271829772), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "first_order", "meta_gradient"),
    [
        # J'(theta') (1 + .5 H), H the surrogate's second derivative: J'' where it is unbiased.
        ("dice", False, 0.604915844448),
        ("likelihood_ratio", False, 0.604915844448),
        ("log_prob", False, 0.588961094650),
        # J'(theta')
        ("dice", True, 0.651240055555),
        ("likelihood_ratio", True, 0.651240055555),
        ("log_prob", True, 0.651240055555),
    ],
)
def test_meta_gradient_through_one_inner_step(name, first_order, meta_gradient):
    def loss(params, drawn_at):
        return -expected_surrogate(SURROGATES[name], ONE_STEP, drawn_at)(params["theta"])

    def adapted(theta):
        return adapt({"theta": theta}, loss, [THETA], step_sizes=[0.5], first_order=first_order)[
            "theta"
        ]

    def meta_objective(theta):
        return expected_return(adapted(theta), ONE_STEP)

    assert_close(adapted(THETA), f64(0.760391118612), rtol=0, atol=1e-12)
    assert_close(meta_objective(THETA), f64(1.044315931547), rtol=0, atol=1e-12)
    assert_close(grad(meta_objective)(THETA), f64(meta_gradient), rtol=0, atol=1e-12)


# Two episodes of two steps, the last step of the second being padding; policy ratios
# (2, .5) and (4, padding), advantages (1, 3) and (-2, padding).
LOG_PROB = f64([[2.0, 0.5], [4.0, 9.0]]).log() - 1
OLD_LOG_PROB = f64([[-1.0, -1.0], [-1.0, -1.0]])
ADVANTAGE = f64([[1.0, 3.0], [-2.0, 100.0]])
WEIGHT = f64([[1.0, 1.0], [1.0, 0.0]])


def test_values_by_hand_and_padding():
    arguments = (LOG_PROB, OLD_LOG_PROB, ADVANTAGE, WEIGHT)
    # (log 2 - 1) + 3 (log .5 - 1) - 2 (log 4 - 1) = -6 log 2 - 2; 2 episodes x 2 steps
    assert_close(log_prob_surrogate(*arguments), -(6 * f64(2.0).log() + 2) / 4)
    # 2 * 1 + .5 * 3 - 4 * 2
    assert_close(likelihood_ratio_surrogate(*arguments), f64(-4.5 / 4))
    # Products of ratios: 2, 1 | 4. (2 - 1) * 1 + (1 - 2) * 3 - (4 - 1) * 2
    assert_close(dice_surrogate(*arguments), f64(-8 / 4))


def test_dice_leaves_a_weightless_step_out_of_the_product_of_ratios():
    weight = f64([[0.0, 1.0], [1.0, 0.0]])
    # The first ratio, 2, does not enter: (.5 - 1) * 3 - (4 - 1) * 2
    assert_close(dice_surrogate(LOG_PROB, OLD_LOG_PROB, ADVANTAGE, weight), f64(-7.5 / 4))


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
def test_padding_gets_no_gradient(surrogate):
    gradient = grad(surrogate)(LOG_PROB, OLD_LOG_PROB, ADVANTAGE, WEIGHT)
    torch.testing.assert_close(gradient != 0, WEIGHT == 1)


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
def test_same_first_derivative_at_the_policy_that_drew_the_actions(surrogate):
    # A_t / (episodes x horizon), whatever the surrogate.
    gradient = grad(surrogate)(OLD_LOG_PROB, OLD_LOG_PROB, ADVANTAGE, WEIGHT)
    assert_close(gradient, f64([[1.0, 3.0], [-2.0, 0.0]]) / 4)


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
def test_vmap_equals_a_loop_over_tasks(surrogate):
    generator = torch.Generator().manual_seed(0)
    arguments = torch.randn(4, 3, 2, 5, dtype=torch.float64, generator=generator)
    arguments[3] = arguments[3] > 0
    loop = torch.stack([surrogate(*arguments[:, task]) for task in range(3)])
    assert_close(vmap(surrogate)(*arguments), loop, rtol=0, atol=1e-13)
