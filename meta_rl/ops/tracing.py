"""Functions of tensors as flat sequences of operations, without what resolves to them."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node, map_arg
from torch.fx._pytree import tree_flatten_spec
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from meta_rl.ops.buffer_reuse import reuse_buffers

aten = torch.ops.aten
# Tracing costs about as much as it saves in a hundred calls; a short run goes without.
CALLS_BEFORE_TRACING = 20
_RESHAPES = (aten.expand.default, aten.view.default, aten._unsafe_view.default)


class Compiler(Protocol):
    """Makes something faster of a function of tensors, which may round differently."""

    def __call__(
        self, function: Callable[..., Any], *, otherwise: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """``otherwise`` is the function in a form that needs no compiler, where it is not that."""

    def __hash__(self) -> int:
        """By identity: traces are kept for each compiler."""


def traced(function: Callable[..., Any], *arguments: Any) -> GraphModule:
    """The operations that a function of pytrees resolves to, with the same results bit for bit.

    Modules, vmap and gradients cost more than a small tensor's arithmetic. Traced once, they cost
    nothing; nor do operations that change nothing, such as most of the reshaping in vmap's rules.
    Elementwise operations reuse memory, see ``buffer_reuse``, so a trace is not to be
    differentiated.

    Args:
        function: its control flow may depend on shapes, not on values.
        *arguments: such as it will be called with: of these shapes, strides, types and devices.
    """
    return _in_place(_functional_trace(function, *arguments))


def _functional_trace(function: Callable[..., Any], *arguments: Any) -> GraphModule:
    """``traced``, each operation with a tensor of its own: what can be cut, or compiled."""
    # Tracing knows tensors by their identity: one given twice would be one argument for ever.
    distinct = tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, arguments)

    def called(*arguments: Any) -> Any:  # of a method, tracing would count the self
        return function(*arguments)

    graph_module = make_fx(called)(*distinct)
    for node in graph_module.graph.nodes:
        if _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    return graph_module


def _in_place(graph_module: GraphModule) -> GraphModule:
    reuse_buffers(graph_module.graph)
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


def traced_in_two(
    make: Callable[..., Callable[..., Any]],
    arguments: Sequence[Any],
    *examples: Tensor,
    compiler: Compiler | None = None,
) -> Callable[..., Callable[..., Any]]:
    """``make``, with ``make(*arguments)(*xs)`` traced and parted at what xs have an influence on.

    What they have none on is computed once for all xs. ``make`` alone would do part of that, and
    would need autograd's graphs for the rest.

    Args:
        make: (pytrees of tensors) -> function of tensors, with a pytree as its result.
        arguments: such as ``make`` will be called with, see ``traced``.
        *examples: such as xs will be.
        compiler: what makes the two parts faster.
    """
    leaves, structure = tree_flatten(tuple(arguments))
    num_leaves = len(leaves)

    def whole(*tensors: Tensor) -> Any:
        made = make(*tree_unflatten(list(tensors[:num_leaves]), structure))
        return made(*tensors[num_leaves:])

    make_fast: Callable[[GraphModule], Callable[..., Any]] = compiler or _in_place
    trace = _functional_trace(whole, *leaves, *examples)
    before, after = map(make_fast, _parted(trace, len(examples)))

    def make_traced(*arguments: Any) -> Callable[..., Any]:
        # By the names that the example had, whatever the order of the entries of a dictionary.
        kept = before(*tree_flatten_spec(arguments, structure))
        return lambda *xs: after(*kept, *xs)

    return make_traced


def _parted(whole: GraphModule, num_xs: int) -> tuple[GraphModule, GraphModule]:
    """Cuts a graph at its last arguments: (others) -> what is kept, and (*kept, *xs) -> result."""
    *nodes, output = whole.graph.nodes
    xs = [node for node in nodes if node.op == "placeholder"][-num_xs:]
    influenced = set(xs)
    for node in nodes:
        if not influenced.isdisjoint(node.all_input_nodes):
            influenced.add(node)
    kept = [
        node
        for node in nodes
        if node not in influenced and not (influenced | {output}).isdisjoint(node.users)
    ]
    before, after = Graph(), Graph()
    copies: dict[Node, Node] = {}
    for node in nodes:
        if node not in influenced:
            copies[node] = before.node_copy(node, copies.__getitem__)
    before.output(tuple(copies[node] for node in kept))
    copies = {node: after.placeholder(node.name) for node in (*kept, *xs)}
    for node in nodes:
        if node in influenced and node not in xs:
            copies[node] = after.node_copy(node, copies.__getitem__)
    after.output(map_arg(output.args[0], copies.__getitem__))
    return GraphModule(whole, before), GraphModule(whole, after)


@lru_cache(maxsize=16)
def traced_when_frequent(
    function: Callable[..., Any], *first_arguments: Hashable, compiler: Compiler | None = None
) -> Callable[..., Any]:
    """``partial(function, *first_arguments)``, traced for each kind of arguments that is frequent.

    Beside what a call through vmap and gradients costs, a trace saves memory: a tensor is gone
    after its last use, and the next one finds its place still in the cache.

    With a compiler, traces are made at once and compiled: results do not depend on how many calls
    there were before, in this process or in the one that it resumes.
    """
    directly = partial(function, *first_arguments)

    def trace(*arguments: Any) -> Callable[..., Any]:
        return (compiler or _in_place)(_functional_trace(directly, *arguments))

    return _Frequent(directly, trace, at_once=compiler is not None)


@lru_cache(maxsize=16)
def traced_in_two_when_frequent(
    make: Callable[..., Callable[[Tensor], Tensor]],
    *first_arguments: Hashable,
    compiler: Compiler | None = None,
) -> Callable[..., Callable[[Tensor], Tensor]]:
    """As ``traced_when_frequent``, by ``traced_in_two``; the last argument is the example."""
    directly = partial(make, *first_arguments)

    def trace(*arguments: Any) -> Callable[..., Any]:
        fast = traced_in_two(directly, arguments[:-1], arguments[-1], compiler=compiler)
        return lambda *arguments: fast(*arguments[:-1])

    return _Frequent(
        lambda *arguments: directly(*arguments[:-1]), trace, at_once=compiler is not None
    )


class _Frequent:
    """Calls a function directly, and its trace once a kind of arguments has come often."""

    def __init__(
        self,
        directly: Callable[..., Any],
        trace: Callable[..., Callable[..., Any]],
        *,
        at_once: bool,
    ) -> None:
        self._directly, self._trace, self._at_once = directly, trace, at_once
        self._num_calls: Counter[Hashable] = Counter()
        self._traces: dict[Hashable, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = tree_flatten(arguments)
        kind = structure, tuple((x.shape, x.stride(), x.dtype, x.device) for x in leaves)
        self._num_calls[kind] += 1
        is_frequent = self._at_once or self._num_calls[kind] >= CALLS_BEFORE_TRACING
        if is_frequent and kind not in self._traces:
            self._traces[kind] = self._trace(*arguments)
        return self._traces.get(kind, self._directly)(*arguments)


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
