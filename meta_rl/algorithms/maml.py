"""MAML and FOMAML for supervised tasks (Finn et al. 2017, algorithm 2)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import grad_and_value, vmap

from meta_rl.algorithms.adaptation import adapt
from meta_rl.algorithms.learner import Learner, predictions_while_adapting
from meta_rl.algorithms.protocol import ExampleData, Metrics, Quantities, TrainingContext
from meta_rl.algorithms.schedules import linear
from meta_rl.config import Count, Effect, Section, SupervisedConfig, setting
from meta_rl.ops.adam import AdamMoments, adam_decrement, initial_moments
from meta_rl.ops.params import initial_params, ravel, unravel
from meta_rl.ops.tracing import traced_at_first_call
from meta_rl.types import AlgorithmState, Params, SupervisedBatch

# Adam's usual constants.
_MOMENTUM_DECAY, _SECOND_MOMENT_DECAY, _EPSILON = 0.9, 0.999, 1e-8


class ExampleAdaptation(Section):
    """The inner loop: gradient steps on the support set of one task."""

    inner_step_size: float = setting(
        0.01, meaning="Size of a step, for losses that are means over examples.", gt=0
    )
    num_adaptation_steps: Count = setting(
        1,
        meaning="Steps on each task in training; 0: pretraining on all tasks.",
        effect=Effect.TRAINING,
        ge=0,
    )
    first_order: bool = setting(
        False,
        meaning="Leave second derivatives out of the meta-gradient (FOMAML).",
        effect=Effect.TRAINING,
    )


class AdamUpdate(Section):
    """The outer loop: a step of Adam on the meta-gradient."""

    step_size: float = setting(0.001, meaning="Of Adam.", effect=Effect.TRAINING, gt=0)
    final_step_size: Annotated[float, Field(ge=0)] | None = setting(
        None,
        meaning="Reached linearly at the last iteration; null: constant.",
        effect=Effect.TRAINING,
    )


class Maml:
    """Learns an initialisation from which gradient steps on the support set adapt to a task."""

    learns_from: ClassVar = "examples"
    sections: ClassVar[Mapping[str, type[Section]]] = {
        "adaptation": ExampleAdaptation,
        "meta_update": AdamUpdate,
    }

    def __init__(
        self, config: SupervisedConfig, learner: Learner, context: TrainingContext
    ) -> None:
        """Takes the network with its initial parameters."""
        self.adaptation: ExampleAdaptation = config.adaptation
        self.meta_update: AdamUpdate = config.meta_update
        self.learner, self.context = learner, context
        self._step = fast_step(self.step, context)

    def initial_state(self, generator: torch.Generator) -> AlgorithmState:
        """The network's initial parameters, and no averages yet."""
        del generator
        params = initial_params(self.learner.network)
        return AlgorithmState(params, initial_moments(ravel(params))._asdict())

    def adapt(self, state: AlgorithmState, data: ExampleData, num_steps: int) -> Sequence[Tensor]:
        """Outputs for the queries after 0, 1, ... steps on the whole support set."""
        index = data.mini_batch_index(num_steps, None)
        return predictions_while_adapting(
            self.learner, state.params, data, index, step_size=self.adaptation.inner_step_size
        )

    def update(
        self, state: AlgorithmState, data: ExampleData, meta_iteration: int
    ) -> tuple[AlgorithmState, Metrics]:
        """A step of Adam on ``grad of mean_task L_query(theta - alpha grad L_support(theta))``."""
        share = meta_iteration / self.context.num_meta_iterations
        step_size = linear(self.meta_update.step_size, self.meta_update.final_step_size, share)
        # A tensor, because a compiled function is made anew for every value of a plain number.
        params, moments, loss, norm = self._step(
            state.params,
            AdamMoments(*(state.memory[name] for name in AdamMoments._fields)),
            data.batch,
            torch.tensor(step_size),
        )
        # Both at once: the host waits for the device once per meta-iteration.
        mean_loss, gradient_norm = torch.stack([loss.mean(), norm]).tolist()
        metrics = {
            "train_loss": mean_loss,
            "update_norm": gradient_norm,
            "meta_step_size": step_size,
        }
        return AlgorithmState(params, moments._asdict()), metrics

    def step(
        self, params: Params, moments: AdamMoments, batch: SupervisedBatch, step_size: Tensor
    ) -> tuple[Params, AdamMoments, Tensor, Tensor]:
        """The update as a function of tensors.

        Returns:
            The new parameters and averages, the query loss of each task before the update [M], and
            the norm of the meta-gradient [].
        """
        gradient, query_loss = maml_gradient(
            self.learner,
            params,
            batch,
            step_size=self.adaptation.inner_step_size,
            num_steps=self.adaptation.num_adaptation_steps,
            first_order=self.adaptation.first_order,
        )
        decrement, moments = adam_decrement(
            gradient,
            moments,
            step_size=step_size,
            momentum_decay=_MOMENTUM_DECAY,
            second_moment_decay=_SECOND_MOMENT_DECAY,
            epsilon=_EPSILON,
        )
        new_params = unravel(ravel(params) - decrement, params)
        return new_params, moments, query_loss, torch.linalg.vector_norm(gradient)

    @staticmethod
    def progress(record: Mapping[str, Any]) -> dict[str, str]:
        """What the screen shows of a meta-iteration, by its header."""
        return shown_update(record)

    def update_quantities(self, state: AlgorithmState, data: ExampleData) -> Quantities:
        """What the update computes of each task, to find what went wrong first."""
        _, query_loss = maml_gradient(
            self.learner,
            state.params,
            data.batch,
            step_size=self.adaptation.inner_step_size,
            num_steps=self.adaptation.num_adaptation_steps,
            first_order=True,
        )
        yield "the query loss", query_loss


def shown_update(record: Mapping[str, Any]) -> dict[str, str]:
    """What the screen shows of an update of supervised learning, by its header."""
    return {
        "loss": f"{record['train_loss']:.4f}",
        "norm": f"{record['update_norm']:.3g}",
        "meta-step": f"{record['meta_step_size']:.3g}",
    }


def fast_step(step: Callable[..., Any], context: TrainingContext) -> Callable[..., Any]:
    """A function of tensors as training calls it: traced, and compiled where settings ask."""
    fast = traced_at_first_call(step)
    return fast if context.compiler is None else context.compiler(step, otherwise=fast)


def maml_gradient(
    learner: Learner,
    params: Params,
    batch: SupervisedBatch,
    *,
    step_size: float,
    num_steps: int,
    first_order: bool,
) -> tuple[Tensor, Tensor]:
    """``grad of mean_task L_query(theta - alpha grad L_support(theta))``, all tasks at once.

    Without any step it is the gradient of pretraining on all tasks.

    Args:
        learner: network and losses.
        params: the meta-parameters theta.
        batch: support and query examples of M tasks.
        step_size: alpha, for a loss that is a mean over examples (see ``Learner.loss``).
        num_steps: gradient steps, all on the whole support set.
        first_order: leave second derivatives out (FOMAML).

    Returns:
        The meta-gradient [num_parameters], in the order of ``ravel``; and the query loss of each
        task after adapting, [M].
    """

    def adapted_loss(theta: Tensor, batch: SupervisedBatch) -> Tensor:
        adapted_params = adapt(
            unravel(theta, params),
            learner.support_loss,
            [batch.support] * num_steps,
            step_sizes=[step_size] * num_steps,
            first_order=first_order,
        )
        return learner.query_loss(adapted_params, batch)

    # Per task first, then the mean: under vmap that takes fewer and larger kernels than
    # differentiating the mean.
    per_task = vmap(grad_and_value(adapted_loss), in_dims=(None, 0))
    gradient, query_loss = per_task(ravel(params), batch)
    return gradient.mean(0), query_loss
