"""Adam against PyTorch's, and under vmap."""

import torch
from torch.func import vmap
from torch.testing import assert_close

from meta_rl.ops.adam import adam_decrement, initial_moments


def gradients(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def run(gradient_SP: torch.Tensor, momentum_decay: float) -> torch.Tensor:
    """The parameters, from zero, after a step per row."""
    param = torch.zeros_like(gradient_SP[0])
    moments = initial_moments(param)
    for gradient in gradient_SP.unbind():
        decrement, moments = adam_decrement(
            gradient,
            moments,
            step_size=0.1,
            momentum_decay=momentum_decay,
            second_moment_decay=0.99,
            epsilon=1e-8,
        )
        param = param - decrement
    return param


def test_equals_torch_with_and_without_momentum():
    for momentum_decay in (0.9, 0.0):
        gradient = gradients(5, 3)
        param = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        optimiser = torch.optim.Adam([param], lr=0.1, betas=(momentum_decay, 0.99), eps=1e-8)
        for row in gradient:
            param.grad = row.clone()
            optimiser.step()
        assert_close(run(gradient, momentum_decay), param.detach(), rtol=0, atol=1e-12)


def test_vmap_equals_a_loop():
    gradient = gradients(4, 5, 3)
    batched = vmap(lambda rows: run(rows, 0.0))(gradient)
    for rows, result in zip(gradient, batched, strict=True):
        assert_close(run(rows, 0.0), result, rtol=0, atol=1e-14)


def test_the_first_step_has_the_step_size_whatever_the_gradient():
    # m^ / sqrt(v^) is the gradient's sign after one gradient.
    gradient = torch.tensor([[3e-3, -40.0]], dtype=torch.float64)
    expected = torch.tensor([-0.1, 0.1], dtype=torch.float64)
    assert_close(run(gradient, 0.9), expected, rtol=0, atol=1e-6)
