"""The processes that share a meta-batch, as torchrun starts them; one process is the usual case.

Every rank holds the same meta-parameters and a share of the tasks. What depends on tasks is
reduced over ranks, so that all of them take the same meta-update; only the first one writes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from meta_rl.reading import SentenceError

T = TypeVar("T")

# How long a rank waits for another that neither answers nor dies.
_TIMEOUT = timedelta(minutes=10)


class RankError(SentenceError):
    """The ranks cannot work together; the message is one sentence."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is.

    Attributes:
        rank: from 0.
        size: how many there are.
        local_rank: which of those on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, num_tasks: int) -> slice:
        """This rank's tasks; shares differ by one at most.

        Raises:
            RankError: there are more ranks than tasks.
        """
        if num_tasks < self.size:
            raise RankError(f"{self.size} ranks cannot share {num_tasks} tasks; start fewer ranks")
        mine = np.array_split(np.arange(num_tasks), self.size)[self.rank]
        return slice(int(mine[0]), int(mine[-1]) + 1)

    def total(self, total_of_mine: Tensor) -> Tensor:
        """The sum over all ranks, the same bits on every rank.

        Raises:
            RankError: another rank has stopped.
        """
        if self.size == 1:
            return total_of_mine
        total = total_of_mine.clone()
        self._together(lambda: distributed.all_reduce(total))
        return total

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in the order of the ranks.

        Raises:
            RankError: another rank has stopped.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        self._together(lambda: distributed.all_gather_object(values, value))
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes; the others do not call ``make``.

        Raises:
            RankError: the first rank has stopped.
        """
        if self.size == 1:
            return make()
        value = [make() if self.is_first else None]
        self._together(lambda: distributed.broadcast_object_list(value, src=0))
        return value[0]  # type: ignore[return-value]  # not None after the broadcast

    def _together(self, communicate: Callable[[], object]) -> None:
        try:
            communicate()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # what gloo and NCCL raise when a connection is closed
            raise RankError(
                f"rank {self.rank} lost another rank, whose own message says why"
            ) from error


ALONE = Ranks()
"""One process that has all the tasks."""


def num_tasks_in(share: slice) -> int:
    """How many tasks a share has."""
    return int(share.stop - share.start)


def is_restart() -> bool:
    """Whether torchrun has started the ranks before, and one of them failed."""
    return _num_restarts() > 0


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """The ranks that torchrun has started this process among, or this process alone.

    Raises:
        RankError: torchrun's variables are not complete, or the other ranks cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    try:
        ranks = Ranks(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
        backend = "gloo"
        # With fewer GPUs than processes, these compute on the CPU.
        if int(os.environ.get("LOCAL_WORLD_SIZE", size)) <= torch.cuda.device_count():
            torch.cuda.set_device(ranks.local_rank)
            backend = "cpu:gloo,cuda:nccl"
        store, rank, size = next(distributed.rendezvous("env://"))
        # The launcher's store outlives a restart, and addresses of ranks that are gone with it.
        store = distributed.PrefixStore(f"start_{_num_restarts()}", store)
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT
        )
    except (KeyError, ValueError, RuntimeError) as error:
        raise RankError(f"the {size} ranks cannot find each other: {error!r}") from error
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def _num_restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
