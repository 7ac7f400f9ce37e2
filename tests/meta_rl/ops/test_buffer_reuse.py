"""Operations in place give the numbers of those that are not, and touch nothing that is needed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx

from meta_rl.ops.buffer_reuse import reuse_buffers

aten = torch.ops.aten


def in_place(function, *arguments):
    """The trace of a function, and how many of its operations work in place."""
    trace = make_fx(function)(*arguments)
    num_changed = reuse_buffers(trace.graph)
    trace.recompile()
    return trace, num_changed


def test_a_chain_needs_one_tensor():
    x = torch.arange(6.0).view(2, 3)
    trace, num_changed = in_place(lambda x: ((x * 2).tanh().exp() + x).neg(), x)
    assert num_changed == 4  # all but the first, whose operand is the argument
    assert torch.equal(trace(x), ((x * 2).tanh().exp() + x).neg())
    assert torch.equal(x, torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.exp(), x.tanh()),  # an argument
        lambda x: (lambda y: (y, y.exp()))(x.neg()),  # a result
        lambda x: (lambda y: y.exp() + y)(x.neg()).sum(
            0
        ),  # the second use of y: exp is overwritten
        lambda x: (lambda y: y.exp() + y.T)(x.neg()),  # another view of y is needed afterwards
        lambda x: (lambda y: y + y.T)(x.neg()),  # y and its own view are the operands
        lambda x: (lambda y: (y[0], y.exp()))(x.neg()),  # a result is a view
        lambda x: x[0].neg() + x,  # operands that differ in shape
        lambda x: x.T.exp().neg() + x.exp(),  # and in strides
        lambda x: x[0] - x.neg(),  # the free operand is the one subtracted
        lambda x: torch.add(x.neg(), x.exp(), alpha=3),
        lambda x: (x > 1) * x.neg(),  # operands that differ in type
        lambda x: (lambda y: y * y)(x.neg()),
        lambda x: aten.tanh_backward(x.neg(), x.tanh()) + aten.tanh_backward(x, x.tanh()),
    ],
)
def test_the_same_numbers_and_arguments(function):
    x = torch.arange(9.0).view(3, 3) / 3
    before = x.clone()
    trace, _ = in_place(function, x)
    for _ in range(2):
        results, expected = trace(x), function(x)
        assert torch.equal(x, before)
        if isinstance(expected, torch.Tensor):
            results, expected = (results,), (expected,)
        for result, other in zip(results, expected, strict=True):
            assert torch.equal(result, other)
            assert result.dtype == other.dtype


UNARY = (
    torch.neg,
    torch.exp,
    torch.tanh,
    lambda x: 0.5 * x,
    lambda x: x.T,
    lambda x: x[:, [0]] + x,
)
BINARY = (
    torch.add,
    torch.sub,
    torch.mul,
    torch.matmul,
    aten.tanh_backward,
    lambda a, b: torch.where(a > b, a, b),
    lambda a, b: a + b[0],
)
steps = st.lists(
    st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_any_function_has_the_same_numbers(steps, returned):
    def function(*arguments):
        values = list(arguments)
        for operation, first, second in steps:
            a, b = values[first % len(values)], values[second % len(values)]
            if operation < len(UNARY):
                value = UNARY[operation](a)
            else:
                value = BINARY[operation - len(UNARY)](a, b)
            values.append(value)
        return [values[index % len(values)] for index in returned]

    arguments = torch.linspace(-1.0, 1.0, 18).view(2, 3, 3).unbind()
    before = [x.clone() for x in arguments]
    expected = function(*arguments)
    trace, _ = in_place(function, *arguments)
    for result, other in zip(trace(*arguments), expected, strict=True):
        assert torch.equal(result.nan_to_num(), other.nan_to_num())
    assert all(map(torch.equal, arguments, before))
