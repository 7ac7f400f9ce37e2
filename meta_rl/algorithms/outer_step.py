"""One meta-update of supervised learning: parameters in, parameters out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from meta_rl.algorithms.adaptation import InnerRule
from meta_rl.algorithms.learner import Learner
from meta_rl.algorithms.maml import maml_gradient
from meta_rl.algorithms.reptile import reptile_displacement
from meta_rl.ops.adam import AdamMoments, adam_decrement
from meta_rl.ops.params import ravel, unravel
from meta_rl.types import Params, SupervisedBatch


class OuterStep(NamedTuple):
    """What a meta-update returns: a pytree.

    Attributes:
        params: the new meta-parameters.
        moments: the new memory of Adam: of the outer one, or of Reptile's inner one; None where
            there is neither.
        query_loss: of each task after adapting, before the update, [M].
        update_norm: Euclidean norm of the meta-gradient, or of Reptile's displacement, [].
    """

    params: Params
    moments: AdamMoments | None
    query_loss: Tensor
    update_norm: Tensor


@dataclass(frozen=True)
class MamlStep:
    """Adam on the meta-gradient of MAML or FOMAML.

    Attributes:
        learner, step_size, num_steps, first_order: as ``maml_gradient``.
        momentum_decay, second_moment_decay, epsilon: Adam's beta1, beta2 and epsilon.
    """

    learner: Learner
    step_size: float
    num_steps: int
    first_order: bool
    momentum_decay: float
    second_moment_decay: float
    epsilon: float

    def __call__(
        self,
        params: Params,
        moments: AdamMoments,
        batch: SupervisedBatch,
        mini_batch_index: Tensor | None,
        meta_step_size: Tensor,
    ) -> OuterStep:
        """Updates with the tasks of a batch; every inner step sees the whole support set."""
        assert mini_batch_index is None
        gradient, query_loss = maml_gradient(
            self.learner,
            params,
            batch,
            step_size=self.step_size,
            num_steps=self.num_steps,
            first_order=self.first_order,
        )
        decrement, moments = adam_decrement(
            gradient,
            moments,
            step_size=meta_step_size,
            momentum_decay=self.momentum_decay,
            second_moment_decay=self.second_moment_decay,
            epsilon=self.epsilon,
        )
        new_params = unravel(ravel(params) - decrement, params)
        return OuterStep(new_params, moments, query_loss, torch.linalg.vector_norm(gradient))


@dataclass(frozen=True)
class ReptileStep:
    """A share of the way that tasks pull the parameters.

    Attributes:
        learner, step_size, gradient_weights, rule: as ``reptile_displacement``.
    """

    learner: Learner
    step_size: float
    gradient_weights: Sequence[float]
    rule: InnerRule

    def __call__(
        self,
        params: Params,
        moments: AdamMoments | None,
        batch: SupervisedBatch,
        mini_batch_index: Tensor,
        meta_step_size: Tensor,
    ) -> OuterStep:
        """Updates with the tasks of a batch; a row of the index is an inner mini-batch."""
        displacement, query_loss, moments = reptile_displacement(
            self.learner,
            params,
            batch,
            mini_batch_index,
            step_size=self.step_size,
            gradient_weights=self.gradient_weights,
            rule=self.rule,
            memory=moments,
        )
        params = {
            name: value + meta_step_size * displacement[name] for name, value in params.items()
        }
        norm = torch.linalg.vector_norm(ravel(displacement))
        return OuterStep(params, moments, query_loss, norm)
