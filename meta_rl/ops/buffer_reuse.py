"""Elementwise operations of a trace, written into the memory of an operand that nobody needs again.

A trace is a list of operations, each with a new tensor for its result. Where an operand is used for
the last time, its memory can hold the result instead: the numbers are the same, and they are still
in the cache.
"""

from typing import Any

import torch
from torch.fx import Graph, Node

aten = torch.ops.aten
_IN_PLACE = {
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.mul.Scalar: aten.mul_.Scalar,
    aten.div.Tensor: aten.div_.Tensor,
    aten.neg.default: aten.neg_.default,
    aten.exp.default: aten.exp_.default,
    aten.tanh.default: aten.tanh_.default,
}
_COMMUTATIVE = (aten.add.Tensor, aten.mul.Tensor)
# Their results are tensors of their own. Of every other operation, the result counts as a view of
# all its operands, which is safe.
_OWN_MEMORY = {*_IN_PLACE, aten.mm.default, aten.bmm.default, aten.tanh_backward.default}


def reuse_buffers(graph: Graph) -> int:
    """Makes operations of a trace work in place where that changes no result.

    Arguments of the trace are never written to, nor is anything that it returns before it is done.

    Args:
        graph: from ``make_fx``, whose nodes note shapes, strides and types; it is changed.

    Returns:
        How many operations work in place now.
    """
    position = {node: index for index, node in enumerate(graph.nodes)}
    owners = _owners_of_memory(graph)
    # Written down before any target changes.
    has_own_memory = {node for node in graph.nodes if node.target in _OWN_MEMORY}
    last_use = dict.fromkeys(position, -1)
    for node in graph.nodes:
        for operand in node.all_input_nodes:
            for owner in owners[operand]:
                last_use[owner] = position[node]

    def is_free_after(operand: Any, node: Node) -> bool:
        return (
            operand in has_own_memory
            and last_use[operand] == position[node]
            and _layout(operand) == _layout(node)
            and all(
                other is operand or operand not in owners[other] for other in node.all_input_nodes
            )
        )

    num_changed = 0
    for node in graph.nodes:
        if node.kwargs:  # such as the factor of an addition
            continue
        if node.target is aten.tanh_backward.default and is_free_after(node.args[0], node):
            node.kwargs = {"grad_input": node.args[0]}
            node.target = aten.tanh_backward.grad_input
        elif node.target in _IN_PLACE and is_free_after(node.args[0], node):
            node.target = _IN_PLACE[node.target]
        elif node.target in _COMMUTATIVE and is_free_after(node.args[1], node):
            node.target = _IN_PLACE[node.target]
            node.args = (node.args[1], node.args[0])
        else:
            continue
        num_changed += 1
    return num_changed


def _owners_of_memory(graph: Graph) -> dict[Node, set[Node]]:
    """For each node, the nodes whose memory its result may lie in."""
    owners: dict[Node, set[Node]] = {}
    for node in graph.nodes:
        if node.op != "call_function" or node.target in _OWN_MEMORY:
            owners[node] = {node}
        else:
            owners[node] = set().union(*(owners[operand] for operand in node.all_input_nodes))
    return owners


def _layout(node: Node) -> Any:
    """Shape, strides and type; for what is no single tensor, something that equals nothing."""
    tensor: Any = node.meta.get("tensor_meta")
    if not hasattr(tensor, "stride"):
        return object()
    return tensor.shape, tensor.stride, tensor.dtype
