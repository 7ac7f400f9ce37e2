"""Supervised MAML and FOMAML on losses differentiated by hand, and on a small network."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.testing import assert_close

from meta_rl.algorithms.learner import Learner
from meta_rl.algorithms.maml import maml_gradient
from meta_rl.models.mlp import MLP
from meta_rl.ops.losses import cross_entropy, mean_squared_error
from meta_rl.ops.params import ravel
from meta_rl.types import Examples, SupervisedBatch


class Constant(nn.Module):
    """Predicts its one parameter: with a loss a (t - c)^2 / 2 a quadratic task."""

    def __init__(self):
        super().__init__()
        self.t = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))

    def forward(self, x):
        return x * self.t


def quadratic(prediction, target):
    # target: (curvature, centre)
    return (target[..., 0] * (prediction[..., 0] - target[..., 1]) ** 2 / 2).mean()


def quadratic_batch(*tasks) -> SupervisedBatch:
    """Per task (a, c) of the support and (b, d) of the query loss."""
    one = torch.ones(len(tasks), 1, 1, dtype=torch.float64)
    support, query = torch.tensor(tasks, dtype=torch.float64).unbind(1)
    return SupervisedBatch(Examples(one, support[:, None]), Examples(one, query[:, None]))


@pytest.mark.parametrize(
    ("num_steps", "first_order", "gradient", "loss"),
    [
        # t' = 1.4: 1.5 (t' + 1)^2 / 2 = 4.32, 1.5 (t' + 1) = 3.6, times (1 - .1 * 2) = 2.88
        (1, True, 3.6, 4.32),
        (1, False, 2.88, 4.32),
        # t' = 3 + .8^5 (1 - 3) = 2.34464; MAML is .8^5 of FOMAML
        (5, True, 5.01696, 8.3899625472),
        (5, False, 1.6439574528, 8.3899625472),
        # No step: 1.5 (1 + 1)
        (0, False, 3.0, 3.0),
    ],
)
def test_known_gradients(num_steps, first_order, gradient, loss):
    network = Constant()
    batch = quadratic_batch([(2.0, 3.0), (1.5, -1.0)])
    result, losses = maml_gradient(
        Learner(network, quadratic, transductive=True),
        {"t": network.t.detach()},
        batch,
        step_size=0.1,
        num_steps=num_steps,
        first_order=first_order,
    )
    assert_close(result, torch.tensor([gradient], dtype=torch.float64), rtol=0, atol=1e-10)
    assert_close(losses, torch.tensor([loss], dtype=torch.float64), rtol=0, atol=1e-10)


def test_the_gradient_is_the_mean_over_tasks():
    # The second task has support and query swapped: t' = 1 - .1 * 1.5 * 2 = .7,
    # FOMAML 2 (.7 - 3) = -4.6. Mean with 3.6: -.5
    network = Constant()
    batch = quadratic_batch([(2.0, 3.0), (1.5, -1.0)], [(1.5, -1.0), (2.0, 3.0)])
    result, losses = maml_gradient(
        Learner(network, quadratic, transductive=True),
        {"t": network.t.detach()},
        batch,
        step_size=0.1,
        num_steps=1,
        first_order=True,
    )
    assert_close(result, torch.tensor([-0.5], dtype=torch.float64), rtol=0, atol=1e-12)
    assert losses.shape == (2,)


def sine_like(num_tasks=3):
    generator = torch.Generator().manual_seed(1)

    def examples():
        return Examples(
            *(
                torch.randn(num_tasks, 5, 1, dtype=torch.float64, generator=generator)
                for _ in range(2)
            )
        )

    network = MLP(1, (8,), 1, activation="tanh", output_scale=1.0, generator=generator).double()
    params = {name: value.detach() for name, value in network.named_parameters()}
    return network, params, SupervisedBatch(examples(), examples())


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("num_steps", [1, 2])
def test_equals_a_loop_that_calls_autograd_for_every_task(num_steps, first_order):
    network, params, batch = sine_like()
    result, losses = maml_gradient(
        Learner(network, mean_squared_error, transductive=True),
        params,
        batch,
        step_size=0.1,
        num_steps=num_steps,
        first_order=first_order,
    )
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}

    def loss(adapted, examples, task):
        prediction = functional_call(network, adapted, (examples.input[task],))
        return (prediction - examples.target[task]).square().mean()

    expected = []
    for task in range(3):
        adapted = leaves
        for _ in range(num_steps):
            gradient = torch.autograd.grad(
                loss(adapted, batch.support, task),
                list(adapted.values()),
                create_graph=not first_order,
            )
            adapted = {
                name: value - 0.1 * g
                for (name, value), g in zip(adapted.items(), gradient, strict=True)
            }
        expected.append(loss(adapted, batch.query, task))
    assert_close(losses, torch.stack(expected).detach(), rtol=0, atol=1e-12)
    gradient = torch.autograd.grad(torch.stack(expected).mean(), list(leaves.values()))
    assert_close(result, ravel(dict(zip(leaves, gradient, strict=True))), rtol=0, atol=1e-12)
    assert all(value.abs().max() > 0 for value in gradient)


def test_a_summed_loss_takes_a_step_size_smaller_by_the_number_of_classes():
    """The papers' .4 on a sum over 5 classes of one shot is 2.0 on the mean."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Linear(4, 5, dtype=torch.float64)
    params = {name: value.detach() for name, value in network.named_parameters()}
    inputs = torch.randn(2, 5, 4, dtype=torch.float64, generator=generator)
    examples = Examples(inputs, torch.arange(5).expand(2, 5))
    batch = SupervisedBatch(examples, examples)

    def summed(logits, label):
        return 5.0 * cross_entropy(logits, label)

    losses = [
        maml_gradient(
            Learner(network, loss, transductive=True),
            params,
            batch,
            step_size=step_size,
            num_steps=1,
            first_order=False,
        )[1]
        / factor
        for loss, step_size, factor in ((cross_entropy, 2.0, 1.0), (summed, 0.4, 5.0))
    ]
    assert_close(losses[0], losses[1], rtol=0, atol=1e-12)


def test_without_transduction_queries_do_not_see_each_other():
    class Centre(nn.Module):
        """Subtracts the mean of the call's examples, as batch statistics do."""

        def forward(self, x):
            return x - x.mean(0)

    support = Examples(torch.tensor([[0.0], [3.0]]), torch.zeros(2, 1))
    query = Examples(torch.tensor([[6.0], [0.0]]), torch.zeros(2, 1))
    batch = SupervisedBatch(support, query)
    together = Learner(Centre(), mean_squared_error, transductive=True)
    assert_close(together.query_prediction({}, batch), torch.tensor([[3.0], [-3.0]]))
    # Each with the support: 6 - (0 + 3 + 6) / 3 and 0 - (0 + 3 + 0) / 3.
    alone = Learner(Centre(), mean_squared_error, transductive=False)
    assert_close(alone.query_prediction({}, batch), torch.tensor([[3.0], [-1.0]]))
