"""A traced function is the function: same bits, fewer operations."""

import pytest
import torch
from torch.func import grad, vmap

from meta_rl.ops.tracing import (
    CALLS_BEFORE_TRACING,
    traced,
    traced_at_first_call,
    traced_in_two,
    traced_in_two_when_frequent,
    traced_when_frequent,
)


def adapted(params, x):
    """Two gradient steps under vmap, with a pytree on both sides."""

    def loss(params, x):
        return (torch.tanh(x @ params["w"].T + params["b"]) ** 2).sum()

    for _ in range(2):
        gradient = vmap(grad(loss))(params, x)
        params = {name: value - 0.1 * gradient[name] for name, value in params.items()}
    return params, {"unused": None}


def arguments(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"w": (3, 4, 2), "b": (3, 4)}
    params = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return params, torch.randn(3, 5, 2, generator=generator)


def test_same_bits_for_other_values_of_the_same_shape():
    fast = traced(adapted, *arguments(0))
    for seed in range(3):
        (one, _), (other, rest) = adapted(*arguments(seed)), fast(*arguments(seed))
        assert rest == {"unused": None}
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_changes_nothing_is_left_out():
    def function(x):
        unused = x.exp()
        assert unused.shape == x.shape
        same = torch.ops.aten.mul.Scalar(x, 1).view(x.shape).expand(2, 3)
        return same.view(6).view(2, 3)

    fast = traced(function, torch.ones(2, 3))
    operations = [node for node in fast.graph.nodes if node.op == "call_function"]
    assert len(operations) == 2
    x = torch.arange(6.0).view(2, 3)
    assert torch.equal(fast(x), x)


@pytest.mark.parametrize(("factor", "x"), [(2.0, torch.ones(3)), (1.0, torch.arange(3))])
def test_a_factor_that_changes_something_stays(factor, x):
    fast = traced(lambda x: torch.ops.aten.mul.Scalar(x, factor), x)
    expected = torch.ops.aten.mul.Scalar(x, factor)
    assert fast(x).dtype == expected.dtype == torch.float32
    assert torch.equal(fast(x), expected)


def test_the_first_call_traces_and_later_ones_do_not():
    calls = []

    def function(x):
        calls.append(x)
        return x + 1

    fast = traced_at_first_call(function)
    assert not calls
    assert [fast(torch.tensor(float(i))).item() for i in range(3)] == [1.0, 2.0, 3.0]
    assert len(calls) == 1


def test_a_tensor_given_twice_is_two_arguments():
    x, y = torch.tensor(1.0), torch.tensor(2.0)
    fast = traced(lambda pair: pair[0] - pair[1], (x, x))
    assert fast((x, x)) == 0
    assert fast((x, y)) == -1


def test_a_tensor_that_is_no_argument_is_a_constant():
    constant = torch.arange(6.0)
    fast = traced(lambda x: x + constant.view(6), torch.ones(6))
    assert torch.equal(fast(torch.zeros(6)), constant)


def test_frequent_kinds_of_arguments_are_traced_and_only_those():
    calls = []

    def function(factor, x, pair):
        calls.append(x.shape)
        return factor * x + pair[0]

    fast = traced_when_frequent(function, 3)
    assert traced_when_frequent(function, 3) is fast
    assert traced_when_frequent(function, 4) is not fast
    for number in range(2 * CALLS_BEFORE_TRACING):
        x = torch.full((2,), float(number))
        assert torch.equal(fast(x, (x, x)), 4 * x)
        if number % 2:
            rare = torch.full((3,), float(number))
            assert torch.equal(fast(rare, (rare, rare)), 4 * rare)
    assert calls.count((2,)) == CALLS_BEFORE_TRACING
    assert calls.count((3,)) == CALLS_BEFORE_TRACING
    # Another layout in memory, and another type, are other kinds.
    x = torch.arange(4.0)[::2]
    assert torch.equal(fast(x, (x, x)), 4 * x)
    x = torch.arange(2)
    assert fast(x, (x, x)).dtype == torch.int64
    assert calls[-2:] == [(2,), (2,)]


def gradient_along(a, b):
    """A function with two gradients in it, one of them of what x has an influence on."""
    slope = grad(lambda a: (a * b["b"]).exp().sum())(a)
    return lambda x: grad(lambda x: (x * slope).cos().sum())(x) + a * slope


def test_a_trace_in_two_computes_what_x_has_no_influence_on_only_once():
    def example(seed):
        a, b, x = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
        return a, {"b": b}, x

    fast = traced_in_two(gradient_along, example(0)[:2], example(0)[2])
    for seed in range(3):
        a, b, x = example(seed)
        product, reference = fast(a, b), gradient_along(a, b)
        for y in (x, 2 * x, a):
            assert torch.equal(product(y), reference(y))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        product(x)
    operations = {event.key for event in profile.key_averages()}
    assert "aten::sin" in operations  # of x
    assert "aten::exp" not in operations  # of a * b


def test_the_entries_of_a_dictionary_may_come_in_any_order():
    fast = traced_in_two(
        lambda pair: lambda x: pair["a"] - pair["b"] * x,
        ({"a": torch.ones(2), "b": torch.ones(2)},),
        torch.ones(2),
    )
    one, two = torch.ones(2), torch.full((2,), 2.0)
    assert torch.equal(fast({"b": two, "a": one})(one), one - two)


def test_several_results():
    fast = traced_in_two(lambda a: lambda x: (a * x, a.exp()), (torch.ones(2),), torch.ones(2))
    a = torch.arange(2.0)
    product, exponential = fast(a)(a)
    assert torch.equal(product, a * a)
    assert torch.equal(exponential, a.exp())


def test_a_result_that_x_has_no_influence_on():
    fast = traced_in_two(lambda a: lambda x: a.exp(), (torch.ones(2),), torch.ones(2))
    a = torch.arange(2.0)
    assert torch.equal(fast(a)(torch.ones(2)), a.exp())


def test_a_trace_in_two_when_frequent():
    calls = []

    def make(factor, a):
        calls.append(a)
        return lambda x: factor * a * x

    fast = traced_in_two_when_frequent(make, 2)
    for number in range(2 * CALLS_BEFORE_TRACING):
        a = torch.full((2,), float(number))
        assert torch.equal(fast(a, torch.ones(2))(a), 2 * a * a)
    assert len(calls) == CALLS_BEFORE_TRACING


def test_a_compiler_is_given_the_traces_at_the_first_call():
    compiled = []

    def compiler(trace):
        compiled.append(trace)
        return lambda *arguments: 10 * trace(*arguments)

    fast = traced_when_frequent(lambda factor, x: factor * x, 3, compiler=compiler)
    for number in (1.0, 2.0):
        assert fast(torch.tensor(number)).item() == 30 * number
    assert len(compiled) == 1

    in_two = traced_in_two_when_frequent(
        lambda factor, a: lambda x: factor * a.exp() * x, 2, compiler=lambda trace: trace
    )
    a = torch.arange(2.0)
    assert torch.equal(in_two(a, torch.ones(2))(a), 2 * a.exp() * a)


def test_a_compiler_is_given_both_parts():
    parts = []
    make = traced_in_two(
        lambda a: lambda x: a.exp() * x,
        (torch.ones(2),),
        torch.ones(2),
        compiler=lambda part: parts.append(part) or part,
    )
    a = torch.arange(2.0)
    assert torch.equal(make(a)(a), a.exp() * a)
    assert len(parts) == 2
