"""A network and its loss: what supervised meta-learning adapts to a task."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from meta_rl.types import Examples, Params, SupervisedBatch


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
