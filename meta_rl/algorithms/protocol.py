"""What an algorithm is: a state, and two verbs that the trainer calls.

``adapt`` is what evaluation plots, ``update`` is what training repeats; an algorithm uses the first
in the second, so what is reported is what is trained. The trainer hands in what an algorithm learns
from: a way to play episodes, or a batch of examples. Algorithms know no environment, no file, no
clock and no other process.

An algorithm is a class with

- ``learns_from``: ``"episodes"`` or ``"examples"``;
- ``sections``: classes of settings by the name of their section, if it has any;
- ``rules``: what its settings must hold together, see ``config.rules``, if there is anything;
- ``finite_metrics``: the metrics that tell whether an update went wrong; by default, all numbers;
- ``progress``: what the screen shows of a meta-iteration, header -> (record -> text);
- the methods of ``EpisodeAlgorithm`` or ``ExampleAlgorithm``.

It is made from (settings, policy or learner, ``TrainingContext``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from meta_rl.ops.tracing import Compiler
from meta_rl.types import AlgorithmState, Carry, Params, RolloutBatch, SupervisedBatch

TaskMean = Callable[[Tensor, int], Tensor]
"""(sum over this process's tasks, how many they are) -> mean over the tasks of the meta-batch."""
Metrics = Mapping[str, Any]
"""Numbers, texts and truth values of one update, by the names that ``metrics.jsonl`` gives them."""
Quantities = Iterator[tuple[str, Tensor]]
"""What an update computes on its way, in that order, by name: [M, ...] each."""


def mean_in_one_process(total: Tensor, num_tasks: int) -> Tensor:
    """The ``TaskMean`` of a process that has all the tasks."""
    return total / num_tasks


@dataclass(frozen=True)
class TrainingContext:
    """What a trainer lends to an algorithm.

    Attributes:
        num_meta_iterations: length of the run.
        steps_per_chunk: as many tasks are differentiated at once as have no more steps than this.
            It changes no result beyond the order of summation: on a CPU, a chunk's activations
            should stay in the cache.
        task_mean: how means over tasks are taken, perhaps together with other processes.
        compiler: what makes functions of tensors faster; None where they are only traced.
    """

    num_meta_iterations: int
    steps_per_chunk: int
    task_mean: TaskMean = mean_in_one_process
    compiler: Compiler | None = None


class Play(Protocol):
    """Plays new episodes of every task.

    Attributes:
        num_tasks: M.
    """

    num_tasks: int

    def __call__(self, params: Params, carry: Carry = ()) -> RolloutBatch:
        """One stage: all episodes of every task, with new initial states and new noise.

        Args:
            params: of each task's policy, [M, ...].
            carry: what the policies remember at the beginning, a pytree [M, E, ...]; that of a
                policy without memory is empty.
        """


class EpisodeAlgorithm(Protocol):
    """Learns to adapt policies from episodes."""

    def initial_state(self, generator: torch.Generator) -> AlgorithmState:
        """The state before any update; random numbers come from ``generator`` alone."""

    def adapt(self, state: AlgorithmState, play: Play, num_steps: int) -> list[RolloutBatch]:
        """Entry k: episodes after k adaptation steps, for k = 0, 1, ..., ``num_steps``."""

    def update(
        self, state: AlgorithmState, play: Play, meta_iteration: int
    ) -> tuple[AlgorithmState, Metrics]:
        """One meta-update.

        Args:
            state: the present state, which stays as it is.
            play: how episodes are had.
            meta_iteration: how many updates there were before.
        """


class ExampleData(Protocol):
    """Examples of many tasks.

    Attributes:
        batch: support and query examples of M tasks.
        transductive: whether all queries of a task go through a network together.
    """

    batch: SupervisedBatch
    transductive: bool

    def mini_batch_index(self, num_steps: int, size: int | None) -> Tensor:
        """Which support examples each step sees, int64 [M, step, size]; all of them without size.

        New random numbers are drawn at each call.
        """


class ExampleAlgorithm(Protocol):
    """Learns to adapt networks from examples."""

    def initial_state(self, generator: torch.Generator) -> AlgorithmState:
        """See ``EpisodeAlgorithm``."""

    def adapt(self, state: AlgorithmState, data: ExampleData, num_steps: int) -> Sequence[Tensor]:
        """Entry k: outputs for the queries after k adaptation steps, [M, X, output]."""

    def update(
        self, state: AlgorithmState, data: ExampleData, meta_iteration: int
    ) -> tuple[AlgorithmState, Metrics]:
        """See ``EpisodeAlgorithm``."""
