"""The batch types that every layer exchanges, and the legend of their axes.

Axes, always in this order:

========== =============================================================================
M          task: one entry per task of a meta-batch
E          episode: independent episodes of one task (reinforcement learning)
T          time: steps of an episode, padded to the horizon
X          example: labelled inputs of one task (supervised learning)
O, A, P    observation, action, task_parameter: named feature axes, always last
========== =============================================================================

A suffix such as ``log_prob_MET`` spells these letters out inside dense tensor code. Functions
written for one task take the same batch without its leading M axis; the caller vmaps.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

Params = dict[str, Tensor]
"""Named parameters of a module; per-task parameters carry a leading task axis."""

Carry = Any
"""What a policy remembers of an episode: a pytree of tensors [M, E, ...], ``()`` without memory."""


class AlgorithmState(NamedTuple):
    """What an algorithm is, between two meta-updates: a pytree.

    Attributes:
        params: what it has learned, which is all that acting and adapting begin with.
        memory: what else its next update needs, such as the averages of an optimiser; mostly
            nothing.
    """

    params: Params
    memory: Params


@dataclass(frozen=True)
class RolloutBatch:
    """Episodes of many tasks, as the sampler returns them.

    Attributes:
        observation: [M, E, T, O], what the policy saw before acting, but not normalised yet. After
            an episode's end the last observation repeats, so entry ``length`` of a shorter episode
            is its final one.
        action: [M, E, T, A], as drawn from the policy, before rescaling and clipping; of discrete
            components int64, the choices counted from zero.
        log_prob: [M, E, T], log-density of ``action`` under the policy that drew it.
        reward: [M, E, T], zero after an episode's end.
        terminated: bool [M, E, T], true at the step that reached a terminal state.
        truncated: bool [M, E, T], true at the step at which a time limit cut the episode.
        valid: bool [M, E, T], true for steps that were really taken; the rest is padding.
        task: float64 array [M, P], the task parameters.
        num_diverged: episodes that a diverging simulation ended.
        success: bool [M, E], episodes with a step that the environment called a success; None where
            it does not speak of success.
        carry: [M, E, ...], what the policies remembered after each episode's last step.
    """

    observation: Tensor
    action: Tensor
    log_prob: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor
    task: np.ndarray
    num_diverged: int
    success: Tensor | None = None
    carry: Carry = ()

    @property
    def env_steps(self) -> int:
        """Number of environment steps that were really taken."""
        return int(self.valid.sum())

    @property
    def episode_return(self) -> Tensor:
        """Undiscounted return of each episode, [M, E]."""
        return self.reward.sum(-1)


class PolicyGradientBatch(NamedTuple):
    """What the mathematics needs of the episodes of one stage: a pytree, so that it can be vmapped.

    Attributes:
        observation: [M, E, T, O], what the policy saw.
        action: [M, E, T, A].
        old_log_prob: [M, E, T], under the policy that drew the actions.
        advantage: [M, E, T], standardised per task; zero in tasks that say nothing of their
            actions.
        weight: [M, E, T], 1 for a step that was taken and 0 for padding.
    """

    observation: Tensor
    action: Tensor
    old_log_prob: Tensor
    advantage: Tensor
    weight: Tensor


class Examples(NamedTuple):
    """Labelled inputs: a pytree, so that it can be vmapped.

    Attributes:
        input: [M, X, ...].
        target: [M, X, ...]; for classification int64 [M, X].
    """

    input: Tensor
    target: Tensor


class SupervisedBatch(NamedTuple):
    """The examples of many supervised tasks.

    Attributes:
        support: what a task is adapted to.
        query: what the adapted parameters are judged by.
    """

    support: Examples
    query: Examples
