"""Reptile's displacement on quadratics enumerated by hand, and its inner rules."""

import itertools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from meta_rl.algorithms.adaptation import adam_without_momentum, gradient_descent
from meta_rl.algorithms.learner import Learner
from meta_rl.algorithms.maml import maml_gradient
from meta_rl.algorithms.reptile import reptile_displacement
from meta_rl.types import Examples, SupervisedBatch


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


# (t - c)^T A (t - c) / 2, three of them; an example is the index of one.
MATRIX = f64([[[2, 1], [1, 3]], [[1, -0.5], [-0.5, 2]], [[1.5, 0.2], [0.2, 0.7]]])
CENTRE = f64([[1, -1], [0, 2], [-1, 0.3]])
T = f64([0.5, 0.5])
ALPHA = 0.1


class Point(nn.Module):
    def __init__(self):
        super().__init__()
        self.t = nn.Parameter(T)

    def forward(self, x):
        return self.t.expand(len(x), 2)


def quadratic(t, index):
    offset = t - CENTRE[index]
    return torch.einsum("xi,xij,xj->x", offset, MATRIX[index], offset).mean() / 2


LEARNER = Learner(Point(), quadratic, transductive=True)


def batch(*tasks) -> SupervisedBatch:
    index = torch.tensor(tasks)
    examples = Examples(torch.zeros(*index.shape, 1), index)
    return SupervisedBatch(examples, examples)


def displacement(tasks, weights, rule=gradient_descent):
    """Each task's quadratics in turn, one to a step."""
    index = torch.arange(len(tasks[0]))[None, :, None].expand(len(tasks), -1, 1)
    moved, _, _ = reptile_displacement(
        LEARNER,
        {"t": T},
        batch(*tasks),
        index,
        step_size=ALPHA,
        gradient_weights=weights,
        rule=rule,
    )
    return moved["t"]


def test_sum_of_gradients_on_quadratics():
    # g1 = A (-.5, 1.5) = (.5, 4), t' = (.45, .1), g2 = B (.45, -1.9) = (1.4, -4.025)
    assert_close(displacement([[0, 1]], [1, 1]), -ALPHA * f64([1.9, -0.025]))
    assert_close(displacement([[0, 1]], [1, 0]), -ALPHA * f64([0.5, 4.0]))
    assert_close(displacement([[0, 1]], [0, 1]), -ALPHA * f64([1.4, -4.025]))
    assert_close(displacement([[0, 1]], [0.5, 0.5]), -ALPHA * f64([0.95, -0.0125]))


def test_expected_gradient_over_ordered_mini_batches():
    # Nichol et al. 2018, section 5: all ordered draws with replacement of two of three.
    draws = list(itertools.product(range(3), repeat=2))
    expected = -ALPHA * f64([2.482077777778, 0.686544444444])
    assert_close(displacement(draws, [1, 1]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_steps", [2, 3, 4])
def test_expansion_coefficients(num_steps):
    """E of each method = c1 AvgGrad + c2 AvgGradInner + O(alpha^2), by a difference quotient.

    On (AvgGrad, AvgGradInner): MAML (1, -2 (k-1) alpha), FOMAML (1, -(k-1) alpha),
    Reptile (k, -k (k-1) / 2 alpha); their equations 30 to 34.
    """
    k = num_steps
    avg_grad = f64([1.346666666667, 0.396666666667])
    avg_grad_inner = f64([2.112555555556, 1.067888888889])
    draws = list(itertools.product(range(3), repeat=k))

    def expected_gradients(alpha):
        index = torch.arange(k)[None, :, None].expand(len(draws), -1, 1)
        moved, _, _ = reptile_displacement(
            LEARNER,
            {"t": T},
            batch(*draws),
            index,
            step_size=alpha,
            gradient_weights=[1.0] * k,
            rule=gradient_descent,
        )
        last, _, _ = reptile_displacement(
            LEARNER,
            {"t": T},
            batch(*draws),
            index,
            step_size=alpha,
            gradient_weights=[0.0] * (k - 1) + [1.0],
            rule=gradient_descent,
        )
        return {"reptile": -moved["t"] / alpha, "fomaml": -last["t"] / alpha}

    # The expectation is a polynomial in alpha; its linear term by extrapolated differences.
    small, smaller = 1e-3, 5e-4
    for name, (c1, c2) in {
        "reptile": (k, -k * (k - 1) / 2),
        "fomaml": (1, -(k - 1)),
    }.items():
        at_zero = c1 * avg_grad
        slopes = [(expected_gradients(a)[name] - at_zero) / a for a in (small, smaller)]
        slope = 2 * slopes[1] - slopes[0]
        assert_close(slope, c2 * avg_grad_inner, rtol=0, atol=2e-4)


def test_expansion_coefficients_of_maml():
    # k = 2: support one quadratic, query another, over all ordered draws: (1, -2 alpha).
    avg_grad = f64([1.346666666667, 0.396666666667])
    avg_grad_inner = f64([2.112555555556, 1.067888888889])
    first, second = torch.tensor(list(itertools.product(range(3), repeat=2))).unbind(1)
    one = torch.zeros(9, 1, 1)
    both = SupervisedBatch(Examples(one, first[:, None]), Examples(one, second[:, None]))
    for first_order, coefficient in ((False, -2.0), (True, -1.0)):
        slopes = []
        for alpha in (1e-3, 5e-4):
            gradient, _ = maml_gradient(
                LEARNER, {"t": T}, both, step_size=alpha, num_steps=1, first_order=first_order
            )
            slopes.append((gradient - avg_grad) / alpha)
        slope = 2 * slopes[1] - slopes[0]
        assert_close(slope, coefficient * avg_grad_inner, rtol=0, atol=1e-5)
    gradient, _ = maml_gradient(
        LEARNER, {"t": T}, both, step_size=0.1, num_steps=1, first_order=False
    )
    assert_close(gradient, f64([0.993229666667, 0.230339222222]), rtol=0, atol=1e-11)


def test_adam_without_momentum_as_torch_has_it():
    param = nn.Parameter(T.clone())
    optimiser = torch.optim.Adam([param], lr=ALPHA, betas=(0.0, 0.9), eps=1e-8)
    for index in (0, 1, 2, 0):
        optimiser.zero_grad()
        quadratic(param[None], torch.tensor([index])).backward()
        optimiser.step()
    moved = displacement([[0, 1, 2, 0]], [1] * 4, adam_without_momentum(0.9, 1e-8))
    assert_close(moved, param.detach() - T, rtol=0, atol=1e-12)


def test_each_task_has_an_inner_memory_of_its_own():
    rule = adam_without_momentum(0.9, 1e-8)
    alone = [displacement([task], [1, 1], rule) for task in ([0, 1], [2, 2])]
    together = displacement([[0, 1], [2, 2]], [1, 1], rule)
    assert_close(together, torch.stack(alone).mean(0), rtol=0, atol=1e-14)


def test_one_task_after_another_is_one_adam_that_never_forgets():
    """Reptile with a meta-step of 1 and one task a batch is that optimiser on all mini-batches."""
    param = nn.Parameter(T.clone())
    optimiser = torch.optim.Adam([param], lr=ALPHA, betas=(0.0, 0.9), eps=1e-8)
    t, memory = T, None
    for task in ([0, 1], [2, 0], [1, 1]):
        for index in task:
            optimiser.zero_grad()
            quadratic(param[None], torch.tensor([index])).backward()
            optimiser.step()
        moved, _, memory = reptile_displacement(
            LEARNER,
            {"t": t},
            batch(task),
            torch.tensor([[[0], [1]]]),
            step_size=ALPHA,
            gradient_weights=[1, 1],
            rule=adam_without_momentum(0.9, 1e-8),
            memory=memory,
        )
        t = t + moved["t"]
    assert_close(t, param.detach(), rtol=0, atol=1e-12)
    assert memory.num_steps == 6


def test_the_memory_is_the_mean_over_tasks():
    tasks, rule = ([0, 1], [2, 2]), adam_without_momentum(0.9, 1e-8)

    def memory(*tasks):
        index = torch.arange(2)[None, :, None].expand(len(tasks), -1, 1)
        settings = {"step_size": ALPHA, "gradient_weights": [1, 1], "rule": rule}
        return reptile_displacement(LEARNER, {"t": T}, batch(*tasks), index, **settings)[2]

    alone = torch.stack([memory(task).second for task in tasks])
    assert_close(memory(*tasks).second, alone.mean(0), rtol=0, atol=1e-14)
    assert not torch.equal(*alone)
