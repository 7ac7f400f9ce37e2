"""Tests marked ``cuda`` need a GPU; a stand-in for one counts what the host waits for."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_any, tree_map

from meta_rl.ops import tracing
from meta_rl.rollouts import batched_policy
from meta_rl.runtime.device import use_full_precision

HOST, DEVICE = torch.device("cpu"), torch.device("meta")
aten = torch.ops.aten


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason=f"needs a CUDA device; torch {torch.__version__} finds none")
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(skip)


@pytest.fixture
def cuda() -> torch.device:
    use_full_precision()
    return torch.device("cuda", 0)


class OnDevice(Tensor):
    """A tensor that says it is on the device ``meta``, and has its numbers all the same."""

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        return Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> Any:
        return self.to(HOST).tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of the stand-in")


# What a GPU's host waits for, whatever asks for it: numbers, and shapes that depend on numbers.
READS = {
    *(aten._local_scalar_dense.default, aten.item.default, aten.is_nonzero.default),
    *(aten.equal.default, aten.nonzero.default, aten.masked_select.default),
    *(aten.unique_dim.default, aten._unique2.default, aten.unique_consecutive.default),
    *(aten.repeat_interleave.Tensor, aten.bincount.default),
}
# These look whether the library has succeeded.
CHECKS = {
    *(aten._linalg_eigh.default, aten.linalg_eigh.default, aten._linalg_check_errors.default),
    *(aten._linalg_svd.default, aten.linalg_lstsq.default, aten.linalg_cholesky.default),
}


class StandIn(TorchDispatchMode):
    """Inside, the device ``meta`` computes, and keeps its numbers from the host.

    Every read is counted with what asked for it; arithmetic on tensors of both devices is an error,
    as it is on a GPU.

    Attributes:
        device: what to ask for.
        waits: operation -> how often the host waited for it.
        copies_to_device: how many there were.
    """

    device = DEVICE

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.copies_to_device = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        here = tree_any(lambda x: isinstance(x, OnDevice), (args, kwargs))
        wanted = kwargs.get("device")
        wanted = None if wanted is None else torch.device(wanted)
        if wanted == DEVICE:
            kwargs["device"] = HOST
        target = here if wanted is None else wanted == DEVICE
        if func is aten.copy_.default:
            target = isinstance(args[0], OnDevice)
            moved = isinstance(args[1], OnDevice) != target
        else:
            moved = func is aten._to_copy.default and here != target
        if moved and target:
            self.copies_to_device += 1
        elif moved:
            self.waits["a copy to the host"] += 1
        elif here:
            self._check_devices(func, args, kwargs)
            if func in READS:
                self.waits[func.name()] += 1
                target = False
            elif func in CHECKS:
                self.waits[func.name()] += 1
            elif self._selects(func, args):
                self.waits["indexing by a mask"] += 1
        held = tree_map(lambda x: x.held if isinstance(x, OnDevice) else x, (args, kwargs))
        result = func(*held[0], **held[1])
        if not target:
            return args[0] if func is aten.copy_.default else result
        wrapped = tree_map(lambda x: OnDevice(x) if isinstance(x, Tensor) else x, result)
        return return_and_correct_aliasing(func, args, kwargs, wrapped)

    def _check_devices(self, func: Any, args: Any, kwargs: Any) -> None:
        def is_on_host(x: Any) -> bool:
            return isinstance(x, Tensor) and not isinstance(x, OnDevice) and x.ndim > 0

        if tree_any(is_on_host, (args, kwargs)) and not func.name().startswith("aten::index"):
            raise AssertionError(f"{func} got tensors of both devices")

    def _selects(self, func: Any, args: Any) -> bool:
        return func in {aten.index.Tensor, aten.index_put_.default} and any(
            x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]
        )


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Its tensors cannot be traced, and a traced function does the same anyway."""
    monkeypatch.setattr(batched_policy, "traced", lambda function, *arguments: function)
    monkeypatch.setattr(tracing, "CALLS_BEFORE_TRACING", 10**9)
    return StandIn()
