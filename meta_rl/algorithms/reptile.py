"""Reptile (Nichol et al. 2018): move towards where tasks pull the parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from meta_rl.algorithms.adaptation import InnerRule, adaptation_steps
from meta_rl.algorithms.learner import Learner
from meta_rl.ops.adam import AdamMoments
from meta_rl.types import Examples, Params, SupervisedBatch

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


def mini_batches(support: Examples, mini_batch_index: Tensor) -> list[Examples]:
    """The examples of each inner step of one task.

    Args:
        support: [X, ...].
        mini_batch_index: int64 [step, example].
    """
    return [
        Examples(support.input[index], support.target[index]) for index in mini_batch_index.unbind()
    ]
