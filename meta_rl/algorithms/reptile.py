"""Reptile (Nichol et al. 2018): move towards where tasks pull the parameters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from meta_rl.algorithms.adaptation import (
    InnerRule,
    adam_without_momentum,
    adaptation_steps,
    gradient_descent,
)
from meta_rl.algorithms.learner import Learner, mini_batches, predictions_while_adapting
from meta_rl.algorithms.maml import fast_step, shown_update
from meta_rl.algorithms.protocol import ExampleData, Metrics, Quantities, TrainingContext
from meta_rl.algorithms.schedules import linear
from meta_rl.config import (
    Contradiction,
    Count,
    Effect,
    PositiveInt,
    Section,
    Settings,
    SupervisedConfig,
    setting,
)
from meta_rl.ops.adam import AdamMoments, initial_moments
from meta_rl.ops.params import initial_params, ravel
from meta_rl.types import AlgorithmState, Params, SupervisedBatch

# Of the inner Adam, whose beta1 is 0.
_SECOND_MOMENT_DECAY, _EPSILON = 0.999, 1e-8


class MiniBatchAdaptation(Section):
    """The inner loop: gradient steps on mini-batches of the support set of one task."""

    inner_step_size: float = setting(
        0.01, meaning="Size of a step, for losses that are means over examples.", gt=0
    )
    num_adaptation_steps: Count = setting(
        1,
        meaning="Steps on each task in training; 1: joint training.",
        effect=Effect.TRAINING,
        ge=1,
    )
    optimiser: Literal["sgd", "adam"] = setting(
        "sgd", meaning="Of the inner steps; adam has beta1 = 0, as in Reptile's code."
    )
    examples_per_step: PositiveInt | None = setting(
        None, meaning="Size of the inner mini-batches; null: the support set."
    )


class DisplacementUpdate(Section):
    """The outer loop: a share of the way to where the tasks pull."""

    step_size: float = setting(
        0.001, meaning="Share of the way to the tasks.", effect=Effect.TRAINING, gt=0
    )
    final_step_size: Annotated[float, Field(ge=0)] | None = setting(
        None,
        meaning="Reached linearly at the last iteration; null: constant.",
        effect=Effect.TRAINING,
    )
    gradient_weights: Annotated[tuple[float, ...], Field(strict=False)] | None = setting(
        None, meaning="Weight of each inner gradient; null: all 1.", effect=Effect.TRAINING
    )


_WEIGHTS = "meta_update.gradient_weights"


def _a_weight_for_each_step(settings: Settings) -> Iterator[Contradiction]:
    num_steps, weights = settings("adaptation.num_adaptation_steps"), settings(_WEIGHTS)
    if weights is not None and (len(weights) != num_steps or not any(weights)):
        yield (
            _WEIGHTS,
            f"{_WEIGHTS} should hold {num_steps} numbers that are not all zero, one for each of "
            "adaptation.num_adaptation_steps",
        )


class Reptile:
    """Learns an initialisation that is near to where training on each task alone ends."""

    learns_from: ClassVar = "examples"
    sections: ClassVar[Mapping[str, type[Section]]] = {
        "adaptation": MiniBatchAdaptation,
        "meta_update": DisplacementUpdate,
    }
    rules: ClassVar = (_a_weight_for_each_step,)

    def __init__(
        self, config: SupervisedConfig, learner: Learner, context: TrainingContext
    ) -> None:
        """Takes the network with its initial parameters."""
        self.adaptation: MiniBatchAdaptation = config.adaptation
        self.meta_update: DisplacementUpdate = config.meta_update
        self.learner, self.context = learner, context
        self._step = fast_step(self.step, context)

    def initial_state(self, generator: torch.Generator) -> AlgorithmState:
        """The network's initial parameters; the inner Adam's memory where there is one."""
        del generator
        params = initial_params(self.learner.network)
        has_memory = self.adaptation.optimiser == "adam"
        return AlgorithmState(
            params, initial_moments(ravel(params))._asdict() if has_memory else {}
        )

    def adapt(self, state: AlgorithmState, data: ExampleData, num_steps: int) -> Sequence[Tensor]:
        """Outputs for the queries after 0, 1, ... steps on mini-batches of the support set."""
        index = data.mini_batch_index(num_steps, self.adaptation.examples_per_step)
        return predictions_while_adapting(
            self.learner,
            state.params,
            data,
            index,
            step_size=self.adaptation.inner_step_size,
            rule=self._rule,
            memory=_moments(state),
        )

    def update(
        self, state: AlgorithmState, data: ExampleData, meta_iteration: int
    ) -> tuple[AlgorithmState, Metrics]:
        """A share of the mean displacement of the tasks."""
        num_steps = self.adaptation.num_adaptation_steps
        index = data.mini_batch_index(num_steps, self.adaptation.examples_per_step)
        share = meta_iteration / self.context.num_meta_iterations
        step_size = linear(self.meta_update.step_size, self.meta_update.final_step_size, share)
        # A tensor, because a compiled function is made anew for every value of a plain number.
        params, moments, loss, norm = self._step(
            state.params, _moments(state), data.batch, index, torch.tensor(step_size)
        )
        # Both at once: the host waits for the device once per meta-iteration.
        mean_loss, displacement_norm = torch.stack([loss.mean(), norm]).tolist()
        metrics = {
            "train_loss": mean_loss,
            "update_norm": displacement_norm,
            "meta_step_size": step_size,
        }
        return AlgorithmState(params, {} if moments is None else moments._asdict()), metrics

    def step(
        self,
        params: Params,
        moments: AdamMoments | None,
        batch: SupervisedBatch,
        mini_batch_index: Tensor,
        step_size: Tensor,
    ) -> tuple[Params, AdamMoments | None, Tensor, Tensor]:
        """The update as a function of tensors; a row of the index is an inner mini-batch.

        Returns:
            The new parameters and inner memory, the query loss of each task after its steps [M],
            and the norm of the displacement [].
        """
        num_steps = self.adaptation.num_adaptation_steps
        displacement, query_loss, moments = reptile_displacement(
            self.learner,
            params,
            batch,
            mini_batch_index,
            step_size=self.adaptation.inner_step_size,
            gradient_weights=self.meta_update.gradient_weights or (1.0,) * num_steps,
            rule=self._rule,
            memory=moments,
        )
        params = {name: value + step_size * displacement[name] for name, value in params.items()}
        return params, moments, query_loss, torch.linalg.vector_norm(ravel(displacement))

    @staticmethod
    def progress(record: Mapping[str, Any]) -> dict[str, str]:
        """What the screen shows of a meta-iteration, by its header."""
        return shown_update(record)

    def update_quantities(self, state: AlgorithmState, data: ExampleData) -> Quantities:
        """What the update computes of each task, to find what went wrong first."""
        num_steps = self.adaptation.num_adaptation_steps
        index = data.mini_batch_index(num_steps, self.adaptation.examples_per_step)
        one = torch.tensor(1.0)
        yield "the query loss", self.step(state.params, _moments(state), data.batch, index, one)[2]

    @property
    def _rule(self) -> InnerRule:
        if self.adaptation.optimiser == "sgd":
            return gradient_descent
        return adam_without_momentum(_SECOND_MOMENT_DECAY, _EPSILON)


def _moments(state: AlgorithmState) -> AdamMoments | None:
    """The inner Adam's memory; None where there is none."""
    if not state.memory:
        return None
    return AdamMoments(*(state.memory[name] for name in AdamMoments._fields))


# Named here, because torch.compile cannot evaluate the annotation inside a function.
_OfOneTask = tuple[Params, Tensor, tuple[AdamMoments, ...]]


def reptile_displacement(
    learner: Learner,
    params: Params,
    batch: SupervisedBatch,
    mini_batch_index: Tensor,
    *,
    step_size: float,
    gradient_weights: Sequence[float],
    rule: InnerRule,
    memory: AdamMoments | None = None,
) -> tuple[Params, Tensor, AdamMoments | None]:
    """``mean_task sum_i w_i (phi_i - phi_(i-1))``, all tasks at once.

    phi_0 = theta are the meta-parameters and phi_i those after i steps on a task's mini-batches.
    With weights of one the sum telescopes to Reptile's ``phi_k - theta`` (algorithm 1). Under
    gradient descent the i-th term is ``-alpha g_i``, so other weights give the combinations of
    inner gradients of their section 6.1; k = 1 is joint training on all tasks.

    Args:
        learner: network and losses.
        params: the meta-parameters theta.
        batch: examples of M tasks; the queries only measure.
        mini_batch_index: int64 [M, step, example], which support examples each step sees.
        step_size: alpha, for a loss that is a mean over examples.
        gradient_weights: w, one per step.
        rule: gradient descent, or Adam without momentum.
        memory: the rule's, with which every task starts.

    Returns:
        The displacement, to be added times the meta-step; the query loss of each task after all
        steps, [M]; and the rule's memory, its mean over tasks. (Reptile's own code plays one task
        after another and hands Adam's second moments from each to the next. Side by side, tasks
        share the memory that the last batch left.)
    """

    def one_task(batch: SupervisedBatch, mini_batch_index: Tensor) -> _OfOneTask:
        steps, new_memory = adaptation_steps(
            params,
            learner.support_loss,
            mini_batches(batch.support, mini_batch_index),
            step_sizes=[step_size] * len(gradient_weights),
            first_order=True,
            rule=rule,
            memory=memory,
        )
        starts = [params, *steps[:-1]]
        displacement = {
            name: torch.stack(
                [
                    weight * (end[name] - start[name])
                    for weight, start, end in zip(gradient_weights, starts, steps, strict=True)
                    if weight
                ]
            ).sum(0)
            for name in params
        }
        # vmap does not return None.
        remembered = () if new_memory is None else (new_memory,)
        return displacement, learner.query_loss(steps[-1], batch), remembered

    displacement, query_loss, remembered = vmap(one_task)(batch, mini_batch_index)
    displacement, remembered = tree_map(lambda x: x.mean(0), (displacement, remembered))
    return displacement, query_loss, remembered[0] if remembered else None
