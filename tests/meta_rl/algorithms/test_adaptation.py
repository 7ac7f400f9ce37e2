"""The inner loop and derivatives through it, on losses differentiated by hand."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad, vmap
from torch.testing import assert_close

from meta_rl.algorithms.adaptation import adapt


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def quadratic(params, batch):
    """(t - c)^T A (t - c) / 2"""
    matrix, centre = batch
    offset = params["t"] - centre
    return offset @ matrix @ offset / 2


def scalar_quadratic(curvature, centre):
    return f64([[curvature]]), f64([centre])


def adapted(t, loss, batches, step_size, *, first_order):
    step_sizes = [step_size] * len(batches)
    return adapt({"t": t}, loss, batches, step_sizes=step_sizes, first_order=first_order)


def meta_gradient(t, loss, batches, query_loss, query, step_size, *, first_order):
    def meta_loss(t):
        return query_loss(adapted(t, loss, batches, step_size, first_order=first_order), query)

    return grad(meta_loss)(t)


@pytest.mark.parametrize(
    ("num_steps", "t_adapted", "loss", "fomaml", "maml"),
    [
        # t' = 1 - .1 * 2 * (1 - 3); 1.5 (t' + 1)^2 / 2; 1.5 (t' + 1); (1 - .1 * 2) of that
        (1, 1.4, 4.32, 3.6, 2.88),
        # t' = 3 + .8^5 (1 - 3); MAML is .8^5 of FOMAML
        (5, 2.34464, 8.3899625472, 5.01696, 1.6439574528),
    ],
)
def test_quadratics(num_steps, t_adapted, loss, fomaml, maml):
    support, query = scalar_quadratic(2, 3), scalar_quadratic(1.5, -1)
    t, batches = f64([1]), [support] * num_steps
    for first_order, gradient in ((True, fomaml), (False, maml)):
        params = adapted(t, quadratic, batches, 0.1, first_order=first_order)
        assert_close(params["t"], f64([t_adapted]), rtol=0, atol=1e-12)
        assert_close(quadratic(params, query), f64(loss), rtol=0, atol=1e-10)
        result = meta_gradient(
            t, quadratic, batches, quadratic, query, 0.1, first_order=first_order
        )
        assert_close(result, f64([gradient]), rtol=0, atol=1e-10)


A = (f64([[2, 1], [1, 3]]), f64([1, -1]))
B = (f64([[1, -0.5], [-0.5, 2]]), f64([0, 2]))
C = (f64([[1.5, 0.2], [0.2, 0.7]]), f64([-1, 0.3]))
T = f64([0.5, 0.5])


def test_matrix_case():
    # g = A (-.5, 1.5) = (.5, 4); t' = t - .1 g; B (t' - (0, 2)) = B (.45, -1.9) = (1.4, -4.025);
    # (1 - .1 A) times that.
    params = adapted(T, quadratic, [A], 0.1, first_order=False)
    assert_close(params["t"], f64([0.45, 0.1]))
    assert_close(quadratic(params, B), f64(4.13875))
    for first_order, gradient in ((True, [1.4, -4.025]), (False, [1.5225, -2.9575])):
        result = meta_gradient(T, quadratic, [A], quadratic, B, 0.1, first_order=first_order)
        assert_close(result, f64(gradient))


def test_not_quadratic():
    def support_loss(params, _):
        return params["t"] ** 4 / 4

    def query_loss(params, _):
        return torch.cos(params["t"])

    # t' = .7 - .05 * .343; -sin t'; (1 - .05 * 3 * .49) times that
    t = f64(0.7)
    params = adapted(t, support_loss, [None], 0.05, first_order=False)
    assert_close(params["t"], f64(0.68285))
    for first_order, gradient in ((True, -0.6310065495829), (False, -0.5846275681886)):
        result = meta_gradient(
            t, support_loss, [None], query_loss, None, 0.05, first_order=first_order
        )
        assert_close(result, f64(gradient), rtol=0, atol=1e-12)


def test_curvature_vector_product():
    def support_loss(params, _):
        x, y = params["t"]
        return x**3 + y**3 + x**2 * y + y**2 * x

    def query_loss(params, vector):
        return params["t"] @ vector

    # H = [[6 x + 2 y, 2 x + 2 y], [2 x + 2 y, 6 y + 2 x]] at (1, 1), H (10, 20) = (160, 200).
    t, vector = f64([1, 1]), f64([10, 20])
    result = meta_gradient(t, support_loss, [None], query_loss, vector, 0.1, first_order=False)
    assert_close(result, vector - 0.1 * f64([160, 200]))
    result = meta_gradient(t, support_loss, [None], query_loss, vector, 0.1, first_order=True)
    assert_close(result, vector)


def test_expected_gradients_over_ordered_mini_batches():
    # All ordered draws with replacement of two from three quadratics: one inner step on the
    # first, the gradient at the second (Nichol et al. 2018, arXiv 1803.02999, section 5).
    for first_order, expected in (
        (True, [1.135411111111, 0.289877777778]),
        (False, [0.993229666667, 0.230339222222]),
    ):
        gradients = [
            meta_gradient(T, quadratic, [first], quadratic, second, 0.1, first_order=first_order)
            for first, second in itertools.product((A, B, C), repeat=2)
        ]
        assert_close(torch.stack(gradients).mean(0), f64(expected), rtol=0, atol=1e-11)


def test_a_batch_and_a_step_size_per_step():
    params = adapt({"t": T}, quadratic, [A, B], step_sizes=[0.1, 0.5], first_order=False)
    # (.45, .1) as above; then B (.45, -1.9) = (1.4, -4.025), half of it subtracted.
    assert_close(params["t"], f64([-0.25, 2.1125]))

    def meta_loss(t, first_order):
        params = adapt({"t": t}, quadratic, [A, B], step_sizes=[0.1, 0.5], first_order=first_order)
        return quadratic(params, C)

    gradient = C[0] @ (f64([-0.25, 2.1125]) - C[1])
    assert_close(grad(meta_loss)(T, True), gradient)
    one = torch.eye(2, dtype=torch.float64)
    assert_close(grad(meta_loss)(T, False), (one - 0.1 * A[0]) @ (one - 0.5 * B[0]) @ gradient)


def test_one_step_size_per_batch():
    with pytest.raises(ValueError, match="zip"):
        adapt({"t": T}, quadratic, [A, B], step_sizes=[0.1], first_order=False)


def test_no_step_changes_nothing():
    assert adapt({"t": T}, quadratic, [], step_sizes=[], first_order=False)["t"] is T


def network_loss(params, batch):
    x, y = batch
    hidden = torch.tanh(x @ params["w"] + params["b"])
    return ((hidden @ params["v"] - y) ** 2).mean()


def network(seed, num_tasks=3, num_batches=2):
    """Parameters, and per batch (x [task, example, 2], y [task, example])."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    params = {"w": normal(2, 4), "b": normal(4), "v": normal(4)}
    return params, [(normal(num_tasks, 5, 2), normal(num_tasks, 5)) for _ in range(num_batches)]


def task_of(batch, task):
    return tuple(x[task] for x in batch)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_first_order_gives_the_plain_gradient_at_the_adapted_copy(num_steps):
    params, (support, query) = network(0)
    support, query = task_of(support, 0), task_of(query, 0)
    options = {"step_sizes": [0.3] * num_steps, "first_order": True}

    def meta_loss(params):
        adapted_params = adapt(params, network_loss, [support] * num_steps, **options)
        return network_loss(adapted_params, query)

    adapted_params = adapt(params, network_loss, [support] * num_steps, **options)
    plain = grad(network_loss)(adapted_params, query)
    result = grad(meta_loss)(params)
    for name in params:
        assert torch.equal(result[name], plain[name])
        assert not torch.allclose(adapted_params[name], params[name])


@pytest.mark.parametrize("num_steps", [1, 3])
def test_second_order_equals_finite_differences(num_steps):
    params, (support, query) = network(0)
    support, query = task_of(support, 0), task_of(query, 0)

    def meta_loss(params):
        step_sizes = [0.3] * num_steps
        batches = [support] * num_steps
        adapted_params = adapt(
            params, network_loss, batches, step_sizes=step_sizes, first_order=False
        )
        return network_loss(adapted_params, query)

    result = grad(meta_loss)(params)
    for name, value in params.items():
        for index in range(value.numel()):
            step = torch.zeros_like(value)
            step.view(-1)[index] = 1e-6
            above, below = (meta_loss(params | {name: value + sign * step}) for sign in (1.0, -1.0))
            assert_close(result[name].view(-1)[index], (above - below) / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("first_order", [False, True])
def test_vmap_over_tasks_equals_a_loop(first_order):
    params, batches = network(0)
    options = {"step_sizes": [0.3, 0.2], "first_order": first_order}

    def meta_loss(params, first, second):
        return network_loss(adapt(params, network_loss, [first, second], **options), first)

    batched = vmap(grad(meta_loss), in_dims=(None, 0, 0))(params, *batches)
    for task in range(3):
        single = grad(meta_loss)(params, *(task_of(batch, task) for batch in batches))
        for name in params:
            assert_close(batched[name][task], single[name], rtol=0, atol=1e-13)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_adaptation_lowers_the_support_loss(seed):
    params, (support, _) = network(seed)
    support = task_of(support, 0)
    losses = [
        float(
            network_loss(
                adapt(
                    params,
                    network_loss,
                    [support] * num_steps,
                    step_sizes=[0.005] * num_steps,
                    first_order=False,
                ),
                support,
            )
        )
        for num_steps in range(4)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
