"""Functions of tensors as flat sequences of operations, without what resolves to them."""

from collections import Counter
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
# Tracing costs about as much as it saves in a hundred calls; a short run goes without.
CALLS_BEFORE_TRACING = 20
_RESHAPES = (aten.expand.default, aten.view.default, aten._unsafe_view.default)


def traced(function: Callable[..., Any], *arguments: Any) -> GraphModule:
    """The operations that a function of pytrees resolves to, with the same results bit for bit.

    Modules, vmap and gradients cost more than a small tensor's arithmetic. Traced once, they cost
    nothing; nor do operations that change nothing, such as most of the reshaping in vmap's rules.

    Args:
        function: its control flow may depend on shapes, not on values.
        *arguments: such as it will be called with: of these shapes, strides, types and devices.
    """
    # Tracing knows tensors by their identity: one given twice would be one argument for ever.
    distinct = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, arguments)
    graph_module = make_fx(function)(*distinct)
    for node in graph_module.graph.nodes:
        if _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    return graph_module


def traced_at_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """``traced`` with the arguments of the first call, which later ones must resemble."""
    fast: Callable[..., Any] | None = None

    def call(*arguments: Any) -> Any:
        nonlocal fast
        if fast is None:
            fast = traced(function, *arguments)
        return fast(*arguments)

    return call


@lru_cache(maxsize=16)
def traced_when_frequent(
    function: Callable[..., Any], *first_arguments: Hashable
) -> Callable[..., Any]:
    """``partial(function, *first_arguments)``, traced for each kind of arguments that is frequent.

    Beside what a call through vmap and gradients costs, a trace saves memory: a tensor is gone
    after its last use, and the next one finds its place still in the cache.
    """
    call_directly = partial(function, *first_arguments)
    num_calls: Counter[Hashable] = Counter()
    traces: dict[Hashable, GraphModule] = {}

    def call(*arguments: Any) -> Any:
        kind = _kind_of_arguments(arguments)
        num_calls[kind] += 1
        if num_calls[kind] == CALLS_BEFORE_TRACING:
            traces[kind] = traced(call_directly, *arguments)
        return traces.get(kind, call_directly)(*arguments)

    return call


def _kind_of_arguments(arguments: Any) -> Hashable:
    leaves, structure = tree_flatten(arguments)
    return structure, tuple((x.shape, x.stride(), x.dtype, x.device) for x in leaves)


def _changes_nothing(node: Node) -> bool:
    reshapes = node.target in _RESHAPES
    multiplies_by_one = node.target is aten.mul.Scalar and node.args[1] == 1
    if not (reshapes or multiplies_by_one):
        return False
    return _kind(node) == _kind(node.args[0])


def _kind(node: Any) -> tuple[torch.Size, torch.dtype] | None:
    """Shape and type, unless it is a constant, about which tracing keeps no notes."""
    tensor = node.meta.get("tensor_meta")
    return tensor and (tensor.shape, tensor.dtype)
