"""Kernels that are recorded once and then launched together, as CUDA graphs.

Launching a kernel from Python takes longer than a small kernel itself. A graph replays any number
of them with one launch, at the memory that they had when they were recorded: arguments are copied
there before, and results from there after.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Protocol, TypeVar
from weakref import ref

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

T = TypeVar("T")
# A replay does the same operations as a call. Far more than rounding means that it does not.
_RELATIVE_TOLERANCE = 1e-4


class Graph(Protocol):
    """Recorded kernels."""

    def replay(self) -> None:
        """Launches them."""


Recorder = Callable[[Callable[[], T]], tuple[Graph, T]]
"""work -> what replays its kernels, and its result, which every replay computes anew in place."""


def streams_of(device: torch.device) -> ModuleType:
    """Where torch keeps a device's streams; those of a CPU do nothing."""
    return torch.cuda if device.type == "cuda" else torch.cpu


def record_graph(
    work: Callable[[], T], stream: torch.cuda.Stream, pool: Any = None
) -> tuple[Graph, T]:
    """Records the kernels that ``work`` launches, without running them.

    Args:
        work: allocates and launches, and never waits for the device. It ran on ``stream`` before,
            so that libraries have their workspaces.
        stream: what it is recorded on.
        pool: memory that may be shared with other graphs of this stream whose results are copied
            before any of the others is replayed.
    """
    graph = torch.cuda.CUDAGraph()
    # The outer one restores the current stream also where the recording fails. A thread of NCCL
    # asks the device about its work all the time, which only "thread_local" does not mind.
    with (
        torch.cuda.stream(stream),
        torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"),
    ):
        result = work()
    return graph, result


class CudaGraphs:
    """Makes functions of tensors that launch all their kernels at once, or does without.

    It is a ``Compiler`` in the sense of ``ops.tracing``.
    """

    def __init__(
        self,
        device: torch.device,
        note: Callable[[str], None],
        compiler: Callable[..., Callable[..., Any]] | None = None,
    ) -> None:
        """Records nothing yet.

        Args:
            device: a GPU.
            note: takes a line for the user.
            compiler: what makes the kernels better before they are recorded.
        """
        self._device, self._note, self._compiler = device, note, compiler
        self._said = set[str]()

    def __call__(
        self, function: Callable[..., Any], *, otherwise: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """The function, recorded when it is first called; arguments as ``TorchCompiler``'s."""
        if self._compiler is not None:
            kernels = self._compiler(function, otherwise=otherwise)
        else:
            kernels = otherwise or function
        return ReplayedFunction(kernels, self._device, self._record, self._say)

    def _record(self, work: Callable[[], T]) -> tuple[Graph, T]:
        stream = _recording_stream(self._device)
        current = torch.cuda.current_stream(self._device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            work()
        current.wait_stream(stream)
        return record_graph(work, stream, _recording_pool(self._device))

    def _say(self, reason: str) -> None:
        line = f"The meta-update's kernels are launched one by one: {reason}"
        if line not in self._said:
            self._said.add(line)
            self._note(line)


# All on one stream and in one pool, so that the graphs of an update share their memory.
@lru_cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@lru_cache
def _recording_pool(device: torch.device) -> Any:
    del device
    return torch.cuda.graph_pool_handle()


class ReplayedFunction:
    """A function of pytrees of tensors that is recorded at its first call.

    It is replayed for arguments of the same shapes, strides and types, and called for others, or
    where it cannot be recorded.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        device: torch.device,
        record: Recorder[Any],
        say: Callable[[str], None],
    ) -> None:
        """Records nothing yet.

        Args:
            function: depends on values through tensors only, and launches the same kernels at
                every call.
            device: where it runs; arguments without axes may also be on the CPU.
            record: makes graphs.
            say: takes the reason why there is none.
        """
        self._function, self._device = function, device
        self._record, self._say = record, say
        self._is_new = True
        self._replay: _Replay | None = None

    def __call__(self, *arguments: Any) -> Any:
        """As the function."""
        if self._is_new:
            self._is_new = False
            self._replay = self._recorded(arguments)
        if self._replay is None or not self._replay.fits(arguments):
            return self._function(*arguments)
        return self._replay(arguments)

    def _recorded(self, arguments: tuple[Any, ...]) -> "_Replay | None":
        try:
            replay = _Replay(self._function, arguments, self._device, self._record)
            replayed = tree_leaves(replay(arguments))
            called = tree_leaves(self._function(*arguments))
            if all(_agree(*pair) for pair in zip(called, replayed, strict=True)):
                return replay
            reason = "a replay gives other numbers"
        except Exception as error:  # drivers and kernels fail in all kinds of ways
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        self._say(reason)
        return None


@dataclass
class _Place:
    """Where a graph finds one of its arguments.

    Attributes:
        distinct: its memory, for the elements that do not share theirs.
        whole: the argument, laid out as it was when it was recorded.
        holds: what was copied here last, and its version then.
    """

    distinct: Tensor
    whole: Tensor
    holds: tuple[Any, int] | None = None

    def take(self, given: Tensor) -> None:
        """Copies an argument, unless it is what lies here already."""
        if self.holds is not None and self.holds[0]() is given and self.holds[1] == given._version:
            return
        self.distinct.copy_(_distinct(given), non_blocking=True)
        self.holds = ref(given), given._version


class _Replay:
    """A recorded call."""

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        device: torch.device,
        record: Recorder[Any],
    ) -> None:
        leaves, structure = tree_flatten(arguments)
        self._structure: TreeSpec = structure
        self._kinds = [_kind(x) for x in leaves]
        self._places = [_place(x, device) if isinstance(x, Tensor) else None for x in leaves]
        self._fill(leaves)
        inputs = [
            x if place is None else place.whole
            for x, place in zip(leaves, self._places, strict=True)
        ]
        self._graph, result = record(lambda: function(*tree_unflatten(inputs, self._structure)))
        self._results, self._result_structure = tree_flatten(result)

    def fits(self, arguments: tuple[Any, ...]) -> bool:
        leaves, structure = tree_flatten(arguments)
        return structure == self._structure and [_kind(x) for x in leaves] == self._kinds

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        self._fill(tree_leaves(arguments))
        self._graph.replay()
        results = [x.clone() if isinstance(x, Tensor) else x for x in self._results]
        return tree_unflatten(results, self._result_structure)

    def _fill(self, leaves: list[Any]) -> None:
        for place, leaf in zip(self._places, leaves, strict=True):
            if place is not None:
                place.take(leaf)


def _kind(x: Any) -> Any:
    return (x.shape, x.stride(), x.dtype, x.device) if isinstance(x, Tensor) else x


def _place(x: Tensor, device: torch.device) -> _Place:
    distinct = _distinct(x)
    memory = torch.empty_strided(distinct.shape, distinct.stride(), dtype=x.dtype, device=device)
    return _Place(memory, memory.expand(x.shape))


def _distinct(x: Tensor) -> Tensor:
    """One element of all that lie at the same memory, since an expanded axis has no stride."""
    for axis, (length, stride) in enumerate(zip(x.shape, x.stride(), strict=True)):
        if stride == 0 and length > 1:
            x = x.narrow(axis, 0, 1)
    return x


def _agree(called: Any, replayed: Any) -> bool:
    if not isinstance(called, Tensor):
        return bool(called == replayed)
    if not called.is_floating_point():
        return torch.equal(called, replayed)
    if called.numel() == 0:
        return True
    size = float(called.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return torch.allclose(
        called, replayed, rtol=0.0, atol=_RELATIVE_TOLERANCE * size, equal_nan=True
    )
