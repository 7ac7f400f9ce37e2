"""The Gauss-Newton product against the Hessian that it stands for."""

import torch
from torch.func import grad, hessian
from torch.testing import assert_close

from meta_rl.distributions.diagonal_gaussian import DiagonalGaussian
from meta_rl.ops.gauss_newton import gauss_newton_product


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def test_by_hand():
    def outputs(vector):
        x, y = vector
        return DiagonalGaussian(mean=torch.stack([x * y]), log_std=torch.stack([x - y]))

    # At (1, 1): J = [[1, 1], [1, -1]], std 1, F = diag(1, 2), J^T F J = [[3, -1], [-1, 3]].
    product = gauss_newton_product(outputs, f64([1.0, 1.0]), DiagonalGaussian.fisher_vector_product)
    assert_close(product(f64([10.0, 20.0])), f64([10.0, 50.0]))


def random_outputs():
    """Nonlinear outputs of six parameters, two of which appear by their gradient alone."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 6, dtype=torch.float64, generator=generator)

    def outputs(vector):
        inner = grad(lambda v: (torch.sin(weight @ v) ** 2).sum())(vector)
        z = torch.tanh(weight @ (vector - 0.1 * inner)).view(2, 3)
        return DiagonalGaussian(mean=z, log_std=0.3 * z**2 - z.flip(-1))

    vector = torch.randn(6, dtype=torch.float64, generator=generator)
    return outputs, vector, generator


def test_equals_the_hessian_of_the_kl():
    outputs, vector, generator = random_outputs()
    old = outputs(vector)
    exact = hessian(lambda v: old.kl_divergence(outputs(v)).sum())(vector)
    product = gauss_newton_product(outputs, vector, DiagonalGaussian.fisher_vector_product)
    for _ in range(3):
        # Several products from the graphs that were built once.
        v = torch.randn(6, dtype=torch.float64, generator=generator)
        assert_close(product(v), exact @ v, rtol=1e-10, atol=1e-10)


def test_linear_symmetric_and_positive_semi_definite():
    outputs, vector, _ = random_outputs()
    product = gauss_newton_product(outputs, vector, DiagonalGaussian.fisher_vector_product)
    matrix = torch.stack([product(v) for v in torch.eye(6, dtype=torch.float64)])
    assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12
    v = f64([1.0, -2.0, 3.0, 0.5, 0.0, 4.0])
    assert_close(product(v), matrix @ v)
