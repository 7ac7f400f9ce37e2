"""A network and its loss: what supervised meta-learning adapts to a task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from meta_rl.algorithms.adaptation import InnerRule, adaptation_steps, gradient_descent
from meta_rl.algorithms.protocol import ExampleData
from meta_rl.types import Examples, Params, SupervisedBatch

# Adapting holds the parameters of every step of every task: 400 MB of them at once.
_MAX_PARAMETERS_HELD = 100_000_000


@dataclass(frozen=True)
class Learner:
    """Losses of one task as functions of its parameters; the caller vmaps.

    Attributes:
        network: [X, ...] -> [X, output]. It may look at all examples of a call together, as batch
            statistics do.
        loss: (prediction [X, output], target [X, ...]) -> [], a **mean** over examples. Where a
            paper's code sums over classes, as MAML's does for images, its inner step size is to
            be multiplied by the number of classes here: .4 of Omniglot 5-way becomes 2.0.
        transductive: whether all queries go through the network in one call, and so share batch
            statistics. If not, each one goes with the support set only.
    """

    network: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    transductive: bool

    def support_loss(self, params: Params, support: Examples) -> Tensor:
        """What adaptation lowers, []."""
        return self.loss(self._predict(params, support.input), support.target)

    def query_prediction(self, params: Params, batch: SupervisedBatch) -> Tensor:
        """Outputs for the queries, [X, output]."""
        support, query = batch.support.input, batch.query.input
        if self.transductive:
            return self._predict(params, query)

        def with_support(one_query: Tensor) -> Tensor:
            return self._predict(params, torch.cat([support, one_query[None]]))[-1]

        return vmap(with_support)(query)

    def query_loss(self, params: Params, batch: SupervisedBatch) -> Tensor:
        """What the adapted parameters are judged by, []."""
        return self.loss(self.query_prediction(params, batch), batch.query.target)

    def _predict(self, params: Params, inputs: Tensor) -> Tensor:
        return functional_call(self.network, params, (inputs,))


def predictions_while_adapting(
    learner: Learner,
    params: Params,
    data: ExampleData,
    mini_batch_index: Tensor,
    *,
    step_size: float,
    rule: InnerRule = gradient_descent,
    memory: Any = None,
) -> Sequence[Tensor]:
    """Outputs for the queries before and after each inner step.

    Args:
        learner: network and losses.
        params: the meta-parameters.
        data: support and query examples of M tasks.
        mini_batch_index: int64 [M, K, example], which support examples each step sees.
        step_size: alpha, for a loss that is a mean over examples.
        rule: of the inner steps.
        memory: the rule's, with which every task starts.

    Returns:
        Entry k: after k steps, [M, X, output].
    """
    num_steps = mini_batch_index.shape[1]
    asked = replace(learner, transductive=data.transductive)

    def one_task(batch: SupervisedBatch, mini_batch_index: Tensor) -> Tensor:
        steps, _ = adaptation_steps(
            params,
            learner.support_loss,
            mini_batches(batch.support, mini_batch_index),
            step_sizes=[step_size] * num_steps,
            first_order=True,
            rule=rule,
            memory=memory,
        )
        return torch.stack([asked.query_prediction(p, batch) for p in [params, *steps]])

    num_parameters = sum(value.numel() for value in params.values())
    chunk = max(1, _MAX_PARAMETERS_HELD // (num_parameters * (num_steps + 1)))
    return vmap(one_task, chunk_size=chunk)(data.batch, mini_batch_index).unbind(1)


def mini_batches(support: Examples, mini_batch_index: Tensor) -> list[Examples]:
    """The examples of each inner step of one task.

    Args:
        support: [X, ...].
        mini_batch_index: int64 [step, example].
    """
    return [
        Examples(support.input[index], support.target[index]) for index in mini_batch_index.unbind()
    ]
