"""The multi-layer perceptron against matrix products by hand."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.testing import assert_close

from meta_rl.models.mlp import ACTIVATIONS, MLP


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def make(input_size, hidden_sizes, output_size, *, activation="tanh", output_scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return MLP(
        input_size,
        hidden_sizes,
        output_size,
        activation=activation,
        output_scale=output_scale,
        generator=generator,
    )


def test_layers_by_hand():
    mlp = make(2, (2,), 1, activation="relu")
    parameters = [[[1.0, 2.0], [-3.0, 0.0]], [0.5, 1.0], [[2.0, 7.0]], [-20.0]]
    with torch.no_grad():
        for parameter, value in zip(mlp.parameters(), parameters, strict=True):
            parameter.copy_(torch.tensor(value))
    # relu(1 + 4 + .5, -3 + 1) = (5.5, 0); 2 * 5.5 - 20: negative, as nothing follows the last layer
    assert_close(mlp(torch.tensor([1.0, 2.0])), torch.tensor([-9.0]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_between_layers_and_none_after_the_last(activation):
    mlp = make(3, (4, 5), 2, activation=activation)
    function = {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "elu": nn.functional.elu,
        "silu": nn.functional.silu,
    }[activation]
    x = randn(6, 3)
    w1, b1, w2, b2, w3, b3 = mlp.parameters()
    expected = function(function(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    assert_close(mlp(x), expected)


def test_no_hidden_layer_is_linear():
    mlp = make(3, (), 2)
    weight, bias = mlp.parameters()
    x = 100 * randn(4, 3)
    assert_close(mlp(x), x @ weight.T + bias)


def test_any_leading_axes():
    mlp = make(3, (4,), 2)
    x = randn(2, 5, 6, 3)
    assert_close(mlp(x), torch.stack([torch.stack([mlp(row) for row in rows]) for rows in x]))
    assert mlp(x[0, 0, 0]).shape == (2,)


def test_weights_per_task_under_vmap_equal_a_loop():
    mlp = make(3, (4,), 2)
    generator = torch.Generator().manual_seed(1)
    params = {
        name: torch.randn(5, *value.shape, generator=generator)
        for name, value in mlp.named_parameters()
    }
    x = torch.randn(5, 6, 7, 3, generator=generator)
    batched = vmap(lambda params, x: functional_call(mlp, params, (x,)))(params, x)
    for task in range(5):
        task_params = {name: value[task] for name, value in params.items()}
        assert_close(batched[task], functional_call(mlp, task_params, (x[task],)))


def test_weights_start_xavier_uniform_and_biases_at_zero():
    mlp = make(200, (300,), 100)
    w1, b1, w2, b2 = mlp.parameters()
    assert (b1 == 0).all()
    assert (b2 == 0).all()
    for weight in (w1, w2):
        bound = math.sqrt(6 / sum(weight.shape))
        assert weight.abs().max() <= bound
        # Uniform on +-bound has standard deviation bound / sqrt 3.
        assert_close(float(weight.detach().std()), bound / math.sqrt(3), rtol=0.02, atol=0)


def test_initial_weights_are_the_generator_s():
    first, again, other = (make(3, (4,), 2, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_output_scale_multiplies_the_last_layers_weights_alone():
    plain, scaled = make(3, (4,), 2), make(3, (4,), 2, output_scale=0.01)
    for i, (a, b) in enumerate(zip(plain.parameters(), scaled.parameters(), strict=True)):
        assert torch.equal(b, 0.01 * a if i == 2 else a)
