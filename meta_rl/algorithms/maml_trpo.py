"""MAML with a trust-region meta-update (Finn et al. 2017, algorithm 3 and section 5.3).

For tasks i with episodes ``D_i`` collected before and ``D'_i`` after adaptation,

    theta'_i = theta - alpha grad L(theta; D_i)                    (the inner loop, eq. 1)
    maximise   mean_i J(theta'_i; D'_i)                            (the meta-objective, eq. 4)
    subject to mean_i KL(pi_old'_i || pi_theta'_i) <= max_kl       (TRPO's constraint)

over theta, where J is the likelihood-ratio surrogate and ``theta'_i`` is always recomputed from
theta, so that the gradient is the exact second-order meta-gradient.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.utils._pytree import tree_map

from meta_rl.algorithms.adaptation import adaptation_steps
from meta_rl.distributions.protocol import Distribution
from meta_rl.models.policy import action_distribution
from meta_rl.ops.gauss_newton import gauss_newton_product
from meta_rl.ops.masked import weighted_mean
from meta_rl.ops.objectives import SURROGATES, likelihood_ratio_surrogate
from meta_rl.ops.params import ravel, unravel
from meta_rl.ops.tracing import Compiler, traced_in_two_when_frequent, traced_when_frequent
from meta_rl.ops.trust_region import TrustRegionPoint, TrustRegionSettings, trust_region_step
from meta_rl.types import MetaUpdateStats, Params, PolicyGradientBatch

TaskMean = Callable[[Tensor, int], Tensor]
"""(sum over this process's tasks, how many they are) -> mean over the tasks of the meta-batch."""


def mean_in_one_process(total: Tensor, num_tasks: int) -> Tensor:
    """The ``TaskMean`` of a process that has all the tasks."""
    return total / num_tasks


class MetaData(NamedTuple):
    """The episodes of one meta-iteration, a pytree with a leading task axis throughout.

    Attributes:
        pre: one batch per adaptation step, each collected by the policy before that step.
        post: episodes of the adapted policies that the meta-objective counts; where those of
            every adaptation step count, one step's after another's along the episode axis.
    """

    pre: tuple[PolicyGradientBatch, ...]
    post: PolicyGradientBatch


@dataclass(frozen=True)
class InnerLoop:
    """How one task's policy adapts.

    Attributes:
        policy: without memory, see ``models/policy.py``.
        surrogate: which surrogate adaptation climbs, a name in ``SURROGATES``.
        step_size: alpha, the size of the first step.
        later_step_size_ratio: size of every later step, as a multiple of alpha.
        first_order: leave the inner loop's second derivatives out of meta-gradients (FOMAML).
        multi_step: let the policies after every adaptation step count in the meta-objective,
            not only the last ones (Antoniou et al. 2019, arXiv 1810.09502, section 4).
    """

    policy: nn.Module
    surrogate: str
    step_size: float
    later_step_size_ratio: float
    first_order: bool
    multi_step: bool

    def step_sizes(self, num_adaptation_steps: int) -> list[float]:
        """alpha, then smaller steps (MAML paper, appendix A.2: alpha / 2)."""
        later = self.step_size * self.later_step_size_ratio
        return [self.step_size, *[later] * (num_adaptation_steps - 1)][:num_adaptation_steps]

    def loss(self, params: Params, batch: PolicyGradientBatch) -> Tensor:
        """L of eq. 1: the negative surrogate of one task's episodes, []."""
        distribution = action_distribution(self.policy, params, batch.observation)
        surrogate = SURROGATES[self.surrogate]
        new_log_prob = distribution.log_prob(batch.action)
        return -surrogate(new_log_prob, batch.old_log_prob, batch.advantage, batch.weight)

    def adapted_distribution(self, meta_params: Params, task: MetaData) -> Distribution:
        """What the adapted policies would do at the post-adaptation observations of one task."""
        adapted_params, _ = adaptation_steps(
            meta_params,
            self.loss,
            task.pre,
            step_sizes=self.step_sizes(len(task.pre)),
            first_order=self.first_order,
        )
        steps = adapted_params or [meta_params]
        counted = steps if self.multi_step else steps[-1:]
        outputs = [
            action_distribution(self.policy, params, observation)
            for params, observation in zip(
                counted, task.post.observation.chunk(len(counted)), strict=True
            )
        ]
        return tree_map(lambda *parts: torch.cat(parts), *outputs)


def meta_data(batches: Sequence[PolicyGradientBatch], *, multi_step: bool) -> MetaData:
    """Arranges the batches of adaptation steps 0, 1, ..., K for ``maml_trpo_update``.

    Without any adaptation step the meta-update is TRPO on the mixture of the tasks.
    """
    counted = (batches[1:] if multi_step else batches[-1:]) or batches
    post = PolicyGradientBatch(*(torch.cat(parts, dim=1) for parts in zip(*counted, strict=True)))
    return MetaData(pre=tuple(batches[:-1]), post=post)


def maml_trpo_update(
    inner_loop: InnerLoop,
    meta_params: Params,
    data: MetaData,
    *,
    trust_region: TrustRegionSettings,
    curvature_stride: int,
    steps_per_chunk: int,
    task_mean: TaskMean,
    compiler: Compiler | None = None,
) -> tuple[Params, MetaUpdateStats]:
    """One meta-update of the initialisation.

    Args:
        inner_loop: how the policies adapt.
        meta_params: theta.
        data: episodes before and after adaptation, from the policies that theta gives.
        trust_region: settings of the outer step.
        curvature_stride: every n-th time step is used for the curvature, before and after
            adaptation (Schulman et al. 2015, appendix C, subsample it too); gradient, surrogate
            and KL use all of them.
        steps_per_chunk: as many tasks are vmapped at once as have no more steps than this. It
            changes no result beyond the order of summation: on a CPU, a chunk's activations
            should stay in the cache.
        task_mean: how means over tasks are taken, perhaps together with other processes.
        compiler: what makes gradient, curvature product and line search faster.

    Returns:
        The new theta (the same tensors where the line search fails) and what happened.
    """
    chunks = split_tasks(data, steps_per_chunk)
    thinned_chunks = split_tasks(every_nth_step(data, curvature_stride), steps_per_chunk)

    theta = ravel(meta_params)
    gradient, surrogate, old = meta_gradient(inner_loop, meta_params, chunks, task_mean, compiler)
    new_theta, stats = trust_region_step(
        theta,
        gradient,
        meta_curvature_product(inner_loop, meta_params, thinned_chunks, task_mean, compiler),
        meta_evaluation(inner_loop, meta_params, chunks, old, task_mean, compiler),
        surrogate=surrogate,
        settings=trust_region,
    )
    if not stats.accepted:
        return meta_params, stats
    # Memory of their own, aligned as that of loaded ones is: kernels are chosen by alignment too.
    return {name: value.clone() for name, value in unravel(new_theta, meta_params).items()}, stats


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
    task_gradients = traced_when_frequent(_task_gradients, inner_loop, compiler=compiler)
    gradients, values = zip(*(task_gradients(meta_params, chunk) for chunk in chunks), strict=True)
    surrogates, distributions = zip(*values, strict=True)
    return (
        _mean_of_chunks(gradients, task_mean),
        _mean_of_chunks(surrogates, task_mean),
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
    return lambda v: _mean_of_chunks([product(v) for product in products], task_mean)


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
        return TrustRegionPoint(*_mean_of_chunks(points, task_mean))

    return evaluate


def split_tasks(data: MetaData, steps_per_chunk: int) -> list[MetaData]:
    """Cuts the task axis into chunks of at most ``steps_per_chunk`` steps, or of one task."""
    num_tasks, *steps = data.post.weight.shape
    size = tasks_per_chunk(math.prod(steps), steps_per_chunk)
    return [tree_map(lambda x, i=i: x[i : i + size], data) for i in range(0, num_tasks, size)]


def tasks_per_chunk(steps_per_task: int, steps_per_chunk: int) -> int:
    """How many tasks fit into a chunk, at least one."""
    return max(1, steps_per_chunk // steps_per_task)


def every_nth_step(data: MetaData, stride: int) -> MetaData:
    """Keeps the time steps 0, n, 2 n, ... of every episode."""
    return tree_map(lambda x: x[:, :, ::stride], data) if stride > 1 else data


def _task_gradients(
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


def _mean_of_chunks(of_chunks: Sequence[Tensor], task_mean: TaskMean) -> Tensor:
    """Means over the leading task axis of all chunks.

    They are summed in double precision, in which a sum of single-precision numbers rounds hardly
    ever: the mean does not depend on how tasks are shared out to chunks and processes. Conjugate
    gradient would make visible differences of the smallest ones.
    """
    sums = [x.double().sum(0) for x in of_chunks]
    num_tasks = sum(len(x) for x in of_chunks)
    return task_mean(torch.stack(sums).sum(0), num_tasks).to(of_chunks[0].dtype)
