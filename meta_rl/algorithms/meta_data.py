"""The episodes of one meta-iteration as one pytree, cut along the task axis."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from meta_rl.algorithms.protocol import TaskMean
from meta_rl.types import PolicyGradientBatch


class MetaData(NamedTuple):
    """The episodes of one meta-iteration, a pytree with a leading task axis throughout.

    Attributes:
        pre: one batch per adaptation step, each collected by the policy before that step.
        post: episodes of the adapted policies that the meta-objective counts; where those of
            every adaptation step count, one step's after another's along the episode axis.
    """

    pre: tuple[PolicyGradientBatch, ...]
    post: PolicyGradientBatch


def meta_data(batches: Sequence[PolicyGradientBatch], *, multi_step: bool) -> MetaData:
    """Arranges the batches of adaptation steps 0, 1, ..., K for a meta-update.

    Without any adaptation step the meta-update is that of one policy on the mixture of the tasks.
    """
    counted = (batches[1:] if multi_step else batches[-1:]) or batches
    post = PolicyGradientBatch(*(torch.cat(parts, dim=1) for parts in zip(*counted, strict=True)))
    return MetaData(pre=tuple(batches[:-1]), post=post)


def split_tasks(data: MetaData, steps_per_chunk: int) -> list[MetaData]:
    """Cuts the task axis into chunks, see ``task_chunks``."""
    num_tasks, *steps = data.post.weight.shape
    chunks = task_chunks(num_tasks, math.prod(steps), steps_per_chunk)
    return [tree_map(lambda x, chunk=chunk: x[chunk], data) for chunk in chunks]


def task_chunks(num_tasks: int, steps_per_task: int, steps_per_chunk: int) -> list[slice]:
    """Cuts tasks into chunks of about ``steps_per_chunk`` steps.

    A product with several threads rounds otherwise for one task alone than for two or more
    together. So either every chunk is one task, or none is: results do not depend on how the tasks
    are shared out to ranks, as long as each has two or more.
    """
    size = max(1, min(num_tasks, steps_per_chunk // steps_per_task))
    starts = list(range(0, num_tasks, size))
    if size > 1 and num_tasks % size == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], num_tasks], strict=True)]


def every_nth_step(data: MetaData, stride: int) -> MetaData:
    """Keeps the time steps 0, n, 2 n, ... of every episode."""
    return tree_map(lambda x: x[:, :, ::stride], data) if stride > 1 else data


def mean_of_chunks(of_chunks: Sequence[Tensor], task_mean: TaskMean) -> Tensor:
    """Means over the leading task axis of all chunks.

    They are summed in double precision, so that the mean does not depend on how tasks are shared
    out to chunks and processes. Conjugate gradient would make visible differences of the smallest
    ones.
    """
    sums = [x.double().sum(0) for x in of_chunks]
    num_tasks = sum(len(x) for x in of_chunks)
    return task_mean(torch.stack(sums).sum(0), num_tasks).to(of_chunks[0].dtype)
