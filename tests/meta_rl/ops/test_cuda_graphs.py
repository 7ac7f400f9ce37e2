"""Recorded functions, with a recorder that runs the work again into the memory of its results."""

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from meta_rl.ops import cuda_graphs
from meta_rl.ops.cuda_graphs import CudaGraphs, ReplayedFunction

CPU = torch.device("cpu")


class Recorder:
    """What a graph does: the same work at the same memory, whatever Python says by then."""

    def __init__(self) -> None:
        self.num_replays = 0

    def __call__(self, work):
        result = work()
        return self.Graph(self, work, result), result

    class Graph:
        def __init__(self, recorder, work, result):
            self.recorder, self.work, self.result = recorder, work, result

        def replay(self):
            self.recorder.num_replays += 1
            for place, value in zip(
                tree_leaves(self.result), tree_leaves(self.work()), strict=True
            ):
                if isinstance(place, Tensor):
                    place.copy_(value)


def function(params: dict[str, Tensor], x: Tensor, scale: Tensor, nothing: None):
    assert nothing is None
    return {"product": x @ params["w"] * scale, "same": x}, None


def arguments(seed: int):
    generator = torch.Generator().manual_seed(seed)
    # Every second row, and columns that share one element.
    x = torch.randn(6, 4, generator=generator)[::2]
    w = torch.randn(4, 1, generator=generator).expand(4, 2)
    return {"w": w}, x, torch.tensor(float(seed)), None


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_a_replay_gives_the_results_of_a_call(recorder: Recorder):
    said: list[str] = []
    fast = ReplayedFunction(function, CPU, recorder, said.append)
    results = [fast(*arguments(seed)) for seed in (1, 2, 3, 1)]
    # Earlier results are the caller's own: later replays leave them as they are.
    for seed, (result, nothing) in zip((1, 2, 3, 1), results, strict=True):
        expected, _ = function(*arguments(seed))
        assert nothing is None
        assert all(torch.equal(result[name], expected[name]) for name in expected)
    assert said == []
    assert recorder.num_replays == 5  # once more at first, to be compared with a call


def test_an_argument_that_was_changed_in_place_is_seen(recorder: Recorder):
    fast = ReplayedFunction(function, CPU, recorder, print)
    params, x, scale, _ = arguments(1)
    first = fast(params, x, scale, None)[0]["product"]
    assert torch.equal(fast(params, x, scale, None)[0]["product"], first)
    x += 1.0
    assert torch.equal(fast(params, x, scale, None)[0]["product"], x @ params["w"] * scale)


def test_the_memory_of_a_given_argument_is_not_kept(recorder: Recorder):
    """A new tensor at the address of the last one is another argument."""
    fast = ReplayedFunction(lambda x: x + 1.0, CPU, recorder, print)
    for value in range(5):
        x = torch.full((1000,), float(value))
        assert torch.equal(fast(x), x + 1.0)
        del x


def test_other_shapes_are_called(recorder: Recorder):
    fast = ReplayedFunction(lambda x: x.sum(0), CPU, recorder, print)
    fast(torch.ones(3, 2))
    before = recorder.num_replays
    assert torch.equal(fast(torch.ones(4, 2)), torch.full((2,), 4.0))
    assert torch.equal(fast(torch.ones(2, 3).T), torch.full((2,), 3.0))  # other strides
    assert recorder.num_replays == before


def test_what_cannot_be_recorded_is_called_and_the_reason_said():
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors")

    said: list[str] = []
    fast = ReplayedFunction(lambda x: x + 1.0, CPU, refuse, said.append)
    for _ in range(2):
        assert torch.equal(fast(torch.ones(2)), torch.full((2,), 2.0))
    assert said == ["operation not permitted when stream is capturing"]


def test_a_replay_that_gives_other_numbers_is_not_used():
    class Stale(Recorder):
        def __call__(self, work):
            graph, result = super().__call__(work)
            graph.replay = lambda: tree_leaves(result)[0].zero_()
            return graph, result

    said: list[str] = []
    fast = ReplayedFunction(lambda x: x + 1.0, CPU, Stale(), said.append)
    assert torch.equal(fast(torch.ones(2)), torch.full((2,), 2.0))
    assert said == ["a replay gives other numbers"]


def test_a_note_is_made_once_and_the_function_may_be_compiled(monkeypatch, recorder: Recorder):
    notes: list[str] = []
    compiled: list[str] = []

    def compiler(function, *, otherwise=None):
        compiled.append(function.__name__)
        assert otherwise is None
        return function

    def refuse(self, work):
        raise RuntimeError("no")

    graphs = CudaGraphs(CPU, notes.append, compiler)
    monkeypatch.setattr(cuda_graphs.CudaGraphs, "_record", refuse)
    for fast in (graphs(torch.sin), graphs(torch.cos)):
        fast(torch.ones(1))
    assert compiled == ["sin", "cos"]
    assert notes == ["The meta-update's kernels are launched one by one: no"]
