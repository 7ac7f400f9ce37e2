"""The meta-objective of MAML-TRPO and its derivatives, through the inner loop."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.utils._pytree import tree_map

from meta_rl.algorithms.inner_loop import InnerLoop
from meta_rl.algorithms.meta_data import MetaData, mean_of_chunks
from meta_rl.algorithms.protocol import TaskMean, mean_in_one_process
from meta_rl.distributions.protocol import Distribution
from meta_rl.ops.gauss_newton import gauss_newton_product
from meta_rl.ops.masked import weighted_mean
from meta_rl.ops.objectives import likelihood_ratio_surrogate
from meta_rl.ops.params import ravel, unravel
from meta_rl.ops.tracing import Compiler, traced_in_two_when_frequent, traced_when_frequent
from meta_rl.ops.trust_region import TrustRegionPoint
from meta_rl.types import Params, PolicyGradientBatch


def meta_gradient(
    inner_loop: InnerLoop,
    meta_params: Params,
    chunks: Sequence[MetaData],
    task_mean: TaskMean = mean_in_one_process,
    compiler: Compiler | None = None,
) -> tuple[Tensor, Tensor, list[Distribution]]:
    """Gradient (eq. 4, ascent) and value of the meta-objective, ``mean_i J(theta'_i; D'_i)``.

    Returns:
        [num_parameters], in the order of ``ravel``; []; and what the policies adapted from theta
        do, which it meets on the way, for each chunk.
    """
    gradients_of = traced_when_frequent(task_gradients, inner_loop, compiler=compiler)
    gradients, values = zip(*(gradients_of(meta_params, chunk) for chunk in chunks), strict=True)
    surrogates, distributions = zip(*values, strict=True)
    return (
        mean_of_chunks(gradients, task_mean),
        mean_of_chunks(surrogates, task_mean),
        list(distributions),
    )


def meta_curvature_product(
    inner_loop: InnerLoop,
    meta_params: Params,
    chunks: Sequence[MetaData],
    task_mean: TaskMean = mean_in_one_process,
    compiler: Compiler | None = None,
) -> Callable[[Tensor], Tensor]:
    """``v -> F v``, F the Hessian of the meta-constraint ``mean_i KL`` at theta.

    With J the Jacobian of the adapted policies' outputs with respect to theta, through the
    inner loop, F equals ``J^T (Fisher matrix of the outputs) J`` exactly.
    """
    theta = ravel(meta_params)
    chunk_product = traced_in_two_when_frequent(
        _task_curvature_product, inner_loop, compiler=compiler
    )
    products = [chunk_product(meta_params, chunk, theta) for chunk in chunks]
    return lambda v: mean_of_chunks([product(v) for product in products], task_mean)


def meta_evaluation(
    inner_loop: InnerLoop,
    meta_params: Params,
    chunks: Sequence[MetaData],
    old_distributions: Sequence[Distribution],
    task_mean: TaskMean = mean_in_one_process,
    compiler: Compiler | None = None,
) -> Callable[[Tensor], TrustRegionPoint]:
    """``theta -> (mean_i J, mean_i KL)``, the KL taken from the policies adapted from theta_old.

    What those do is the last of what ``meta_gradient`` returns for the same chunks.
    """
    task_points = traced_when_frequent(_task_points, inner_loop, compiler=compiler)

    @torch.no_grad()
    def evaluate(theta: Tensor) -> TrustRegionPoint:
        params = unravel(theta, meta_params)
        points = [
            task_points(params, chunk, old)
            for chunk, old in zip(chunks, old_distributions, strict=True)
        ]
        return TrustRegionPoint(*mean_of_chunks(points, task_mean))

    return evaluate


def task_gradients(
    inner_loop: InnerLoop, meta_params: Params, chunk: MetaData
) -> tuple[Tensor, tuple[Tensor, Distribution]]:
    """Of each task of a chunk: the gradient of J [M, N], J [M], and what its policies do."""

    def task_surrogate(theta: Tensor, task: MetaData) -> tuple[Tensor, Distribution]:
        distribution = inner_loop.adapted_distribution(unravel(theta, meta_params), task)
        return _surrogate(distribution, task.post), distribution

    per_task = vmap(grad_and_value(task_surrogate, has_aux=True), in_dims=(None, 0))
    return per_task(ravel(meta_params), chunk)


def _task_curvature_product(
    inner_loop: InnerLoop, meta_params: Params, chunk: MetaData
) -> Callable[[Tensor], Tensor]:
    """``v -> F v`` [M, N] for each task of a chunk."""
    theta, weight = ravel(meta_params), chunk.post.weight
    step_weight = weight / weight.sum((-2, -1), keepdim=True).clamp(min=1.0)
    # Each task has a theta of its own, and so a product of its own.
    shape = (len(weight), len(theta))

    def outputs(theta_MN: Tensor) -> Distribution:
        def task_outputs(theta: Tensor, task: MetaData) -> Distribution:
            return inner_loop.adapted_distribution(unravel(theta, meta_params), task)

        return vmap(task_outputs)(theta_MN, chunk)

    def output_curvature(distribution: Distribution, tangent: Distribution) -> Distribution:
        product = distribution.fisher_vector_product(tangent)
        num_axes = step_weight.ndim
        return tree_map(lambda x: step_weight[(..., *[None] * (x.ndim - num_axes))] * x, product)

    product = gauss_newton_product(outputs, theta.expand(shape), output_curvature)
    return lambda v: product(v.expand(shape))


def _task_points(
    inner_loop: InnerLoop, meta_params: Params, chunk: MetaData, old: Distribution
) -> Tensor:
    """J and KL of each task of a chunk, [M, 2]."""

    def task_point(task: MetaData, old: Distribution) -> Tensor:
        new = inner_loop.adapted_distribution(meta_params, task)
        divergence = weighted_mean(old.kl_divergence(new), task.post.weight)
        return torch.stack([_surrogate(new, task.post), divergence])

    return vmap(task_point)(chunk, old)


def _surrogate(distribution: Distribution, post: PolicyGradientBatch) -> Tensor:
    """J of one task: TRPO's likelihood-ratio surrogate (Schulman et al. 2015, eq. 14)."""
    return likelihood_ratio_surrogate(
        distribution.log_prob(post.action), post.old_log_prob, post.advantage, post.weight
    )
