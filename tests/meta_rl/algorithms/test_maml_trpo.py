"""The meta-update against finite differences and a plain loop over tasks, in double precision.

The reference below adapts one task at a time by ``torch.autograd`` and knows neither vmap nor
chunks nor the Gauss-Newton form.
"""

import functools
import math
from dataclasses import replace

import pytest
import torch
from torch import distributions
from torch.func import functional_call, vmap
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves, tree_map

from meta_rl.algorithms.adaptation import adapt
from meta_rl.algorithms.inner_loop import InnerLoop
from meta_rl.algorithms.maml_trpo import maml_trpo_update
from meta_rl.algorithms.meta_data import (
    MetaData,
    every_nth_step,
    meta_data,
    split_tasks,
    task_chunks,
)
from meta_rl.algorithms.meta_objective import (
    meta_curvature_product,
    meta_evaluation,
    meta_gradient,
)
from meta_rl.algorithms.protocol import mean_in_one_process
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.ops import tracing
from meta_rl.ops.objectives import SURROGATES
from meta_rl.ops.params import initial_params, ravel, unravel
from meta_rl.ops.trust_region import TrustRegionSettings
from meta_rl.types import PolicyGradientBatch

NUM_TASKS, NUM_EPISODES, HORIZON = 3, 3, 4
STEPS_PER_TASK = NUM_EPISODES * HORIZON
ALL_TASKS = 10**6

SETTINGS = {
    "max_kl": 0.01,
    "num_cg_iterations": 10,
    "damping": 1e-6,
    "backtrack_ratio": 0.7,
    "max_backtracks": 15,
}


def make_inner_loop(
    surrogate="likelihood_ratio", *, first_order=False, step_size=0.4, multi_step=False
):
    policy = GaussianPolicy(
        2,
        2,
        hidden_sizes=(3,),
        activation="tanh",
        output_scale=1.0,
        init_std=0.6,
        min_std=1e-3,
        generator=torch.Generator().manual_seed(0),
    ).double()
    return InnerLoop(
        policy,
        surrogate,
        step_size,
        later_step_size_ratio=1.0,
        first_order=first_order,
        multi_step=multi_step,
    )


def policy_outputs(inner_loop, params, observation):
    (mean, log_std), _ = functional_call(inner_loop.policy, params, (observation, ()))
    return distributions.Independent(distributions.Normal(mean, log_std.exp()), 1)


def reference_adapted(inner_loop, params, pre, *, through=False):
    """theta' of one task; differentiable through the gradients if ``through``."""
    for batch in pre:
        leaves = {
            name: value if value.requires_grad else value.detach().requires_grad_()
            for name, value in params.items()
        }
        new_log_prob = policy_outputs(inner_loop, leaves, batch.observation).log_prob(batch.action)
        objective = SURROGATES[inner_loop.surrogate](
            new_log_prob, batch.old_log_prob, batch.advantage, batch.weight
        )
        gradient = torch.autograd.grad(objective, list(leaves.values()), create_graph=through)
        params = {
            name: value + inner_loop.step_size * g
            for (name, value), g in zip(leaves.items(), gradient, strict=True)
        }
    return params if through else {name: value.detach() for name, value in params.items()}


def make_data(inner_loop, params, num_steps, *, seed=1):
    """Episodes drawn step by step from the adapting policies, of every length from 1 to T."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    def stage(params_of_task):
        observation = normal(NUM_TASKS, NUM_EPISODES, HORIZON, 2)
        action, old_log_prob = [], []
        for task, task_params in enumerate(params_of_task):
            policy = policy_outputs(inner_loop, task_params, observation[task])
            noise = normal(NUM_EPISODES, HORIZON, 2)
            action.append((policy.mean + policy.stddev * noise).detach())
            old_log_prob.append(policy.log_prob(action[-1]).detach())
        shape = (NUM_TASKS, NUM_EPISODES, 1)
        length = torch.randint(1, HORIZON + 1, shape, generator=generator)
        # Advantages at padding are not zero here, so that only the weight keeps them out.
        return PolicyGradientBatch(
            observation,
            torch.stack(action),
            torch.stack(old_log_prob),
            normal(NUM_TASKS, NUM_EPISODES, HORIZON),
            (torch.arange(HORIZON) < length).double(),
        )

    params_of_task = [params] * NUM_TASKS
    pre = []
    for _ in range(num_steps):
        pre.append(stage(params_of_task))
        params_of_task = [
            reference_adapted(inner_loop, task_params, [select(pre[-1], task)])
            for task, task_params in enumerate(params_of_task)
        ]
    post = stage(params_of_task)
    # A little off the policy, so that no ratio is one.
    off_policy = post.old_log_prob + 0.1 * normal(*post.old_log_prob.shape)
    return MetaData(tuple(pre), post._replace(old_log_prob=off_policy))


def select(data, task):
    return tree_map(lambda x: x[task], data)


def real_mean(x, weight):
    return x[weight == 1].mean()


def task_objective(inner_loop, adapted_params, post):
    """J of one task at theta'."""
    new = policy_outputs(inner_loop, adapted_params, post.observation).log_prob(post.action)
    objective = torch.exp(new - post.old_log_prob) * post.advantage
    return objective[post.weight == 1].sum() / post.weight.numel()


def task_kl(inner_loop, old_params, adapted_params, post):
    old, new = (
        policy_outputs(inner_loop, params, post.observation)
        for params in (old_params, adapted_params)
    )
    return real_mean(distributions.kl_divergence(old, new), post.weight)


def finite_differences(function, vector, epsilon=1e-5):
    """Central differences along every coordinate, stacked in front: [N] or [N, N]."""
    steps = epsilon * torch.eye(len(vector), dtype=vector.dtype)
    slopes = [(function(vector + s) - function(vector - s)) / (2 * epsilon) for s in steps]
    return torch.stack(slopes).detach()


@functools.cache
def problem(surrogate="likelihood_ratio", num_steps=1, first_order=False):
    inner_loop = make_inner_loop(surrogate, first_order=first_order)
    params = initial_params(inner_loop.policy)
    return inner_loop, params, make_data(inner_loop, params, num_steps)


def tasks(data):
    return [select(data, task) for task in range(NUM_TASKS)]


def update(inner_loop, params, data, *, curvature_stride=1, steps_per_chunk=ALL_TASKS, **settings):
    return maml_trpo_update(
        inner_loop,
        params,
        data,
        trust_region=TrustRegionSettings(**{**SETTINGS, **settings}),
        curvature_stride=curvature_stride,
        steps_per_chunk=steps_per_chunk,
        task_mean=mean_in_one_process,
    )


EVERY_SURROGATE_AND_DEPTH = pytest.mark.parametrize(
    ("surrogate", "num_steps"), [(name, n) for name in SURROGATES for n in (1, 2)]
)
SECOND_ORDER_AND_FIRST = pytest.mark.parametrize(
    ("surrogate", "num_steps", "first_order"),
    [(name, n, False) for name in SURROGATES for n in (1, 2)]
    + [("likelihood_ratio", n, True) for n in (1, 2)],
)


@EVERY_SURROGATE_AND_DEPTH
def test_second_order_meta_gradient_equals_finite_differences(surrogate, num_steps):
    inner_loop, params, data = problem(surrogate, num_steps)

    def meta_objective(theta):
        return torch.stack(
            [
                task_objective(
                    inner_loop,
                    reference_adapted(inner_loop, unravel(theta, params), task.pre),
                    task.post,
                )
                for task in tasks(data)
            ]
        ).mean()

    gradient, value, _ = meta_gradient(inner_loop, params, [data])
    assert_close(value, meta_objective(ravel(params)))
    expected = finite_differences(meta_objective, ravel(params))
    assert_close(gradient, expected, rtol=1e-6, atol=1e-9)


@EVERY_SURROGATE_AND_DEPTH
def test_first_order_meta_gradient_is_the_plain_one_at_the_adapted_copy(surrogate, num_steps):
    inner_loop, params, data = problem(surrogate, num_steps, first_order=True)
    plain = []
    for task in tasks(data):
        theta_adapted = ravel(reference_adapted(inner_loop, params, task.pre))

        def objective(theta, task=task):
            return task_objective(inner_loop, unravel(theta, params), task.post)

        plain.append(finite_differences(objective, theta_adapted))
    gradient, value, _ = meta_gradient(inner_loop, params, [data])
    assert_close(gradient, torch.stack(plain).mean(0), rtol=1e-6, atol=1e-9)
    # The objective itself does not depend on the flag; its second-order gradient does.
    second_order, same_value, _ = meta_gradient(make_inner_loop(surrogate), params, [data])
    assert_close(value, same_value)
    difference = torch.linalg.vector_norm(gradient - second_order)
    assert difference > 0.05 * torch.linalg.vector_norm(second_order)


def evaluation(inner_loop, params, chunks):
    old = meta_gradient(inner_loop, params, chunks)[2]
    return meta_evaluation(inner_loop, params, chunks, old)


def curvature_matrix(inner_loop, params, chunks):
    product = meta_curvature_product(inner_loop, params, chunks)
    return torch.stack([product(v) for v in torch.eye(len(ravel(params)), dtype=torch.float64)])


@SECOND_ORDER_AND_FIRST
def test_curvature_equals_finite_differences_of_the_gradient_of_the_mean_kl(
    surrogate, num_steps, first_order
):
    inner_loop, params, data = problem(surrogate, num_steps, first_order)
    old = [reference_adapted(inner_loop, params, task.pre) for task in tasks(data)]

    def kl_gradient(theta, task_index):
        """With respect to theta; first order, theta' moves one to one with theta."""
        theta = theta.clone().requires_grad_()
        task = select(data, task_index)
        adapted_params = unravel(theta, params)
        if not first_order:
            adapted_params = reference_adapted(inner_loop, adapted_params, task.pre, through=True)
        kl = task_kl(inner_loop, old[task_index], adapted_params, task.post)
        return torch.autograd.grad(kl, theta)[0]

    expected = torch.stack(
        [
            finite_differences(
                lambda theta, i=i: kl_gradient(theta, i), ravel(old[i] if first_order else params)
            )
            for i in range(NUM_TASKS)
        ]
    ).mean(0)
    matrix = curvature_matrix(inner_loop, params, split_tasks(data, 2 * STEPS_PER_TASK))
    assert_close(matrix, expected, rtol=1e-6, atol=1e-8)
    assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12
    # Not zero either: log_std alone has curvature of about 2 per action.
    assert torch.linalg.eigvalsh(matrix).max() > 0.1


@SECOND_ORDER_AND_FIRST
def test_evaluation_equals_a_loop_over_tasks(surrogate, num_steps, first_order):
    inner_loop, params, data = problem(surrogate, num_steps, first_order)
    evaluate = evaluation(inner_loop, params, split_tasks(data, 2 * STEPS_PER_TASK))
    generator = torch.Generator().manual_seed(2)
    theta = ravel(params)
    theta = theta + 0.1 * torch.randn(theta.shape, dtype=torch.float64, generator=generator)
    surrogates, kls = [], []
    for task in tasks(data):
        old = reference_adapted(inner_loop, params, task.pre)
        new = reference_adapted(inner_loop, unravel(theta, params), task.pre)
        surrogates.append(task_objective(inner_loop, new, task.post))
        kls.append(task_kl(inner_loop, old, new, task.post))
    point = evaluate(theta)
    assert_close(point.surrogate, torch.stack(surrogates).mean())
    assert_close(point.kl, torch.stack(kls).mean())
    assert point.kl > 1e-4
    here = evaluate(ravel(params))
    assert_close(here.surrogate, meta_gradient(inner_loop, params, [data])[1])
    assert_close(here.kl, torch.zeros_like(here.kl), rtol=0, atol=1e-15)


@pytest.mark.parametrize("first_order", [False, True])
def test_tasks_together_equal_a_loop_over_tasks(first_order):
    inner_loop, params, data = problem("dice", 2, first_order)
    alone = [tree_map(lambda x, i=i: x[i : i + 1], data) for i in range(NUM_TASKS)]
    gradient, value, _ = meta_gradient(inner_loop, params, [data])
    singles = [meta_gradient(inner_loop, params, [task]) for task in alone]
    expected = torch.stack([single for single, _, _ in singles]).mean(0)
    assert_close(gradient, expected, rtol=0, atol=1e-12)
    assert_close(
        value, torch.stack([single for _, single, _ in singles]).mean(), rtol=0, atol=1e-12
    )
    matrices = [curvature_matrix(inner_loop, params, [task]) for task in alone]
    together = curvature_matrix(inner_loop, params, [data])
    assert_close(together, torch.stack(matrices).mean(0), rtol=0, atol=1e-12)


def test_adapted_params_under_vmap_equal_a_loop_over_tasks():
    inner_loop, params, data = problem("log_prob", 2)
    # From parameters that differ by task, as at the second step of the sampler's inner loop.
    start = {name: torch.stack([value, value + 0.1, value - 0.1]) for name, value in params.items()}
    options = {"step_sizes": inner_loop.step_sizes(2), "first_order": False}
    batched = vmap(lambda theta, pre: adapt(theta, inner_loop.loss, pre, **options))(
        start, data.pre
    )
    for task in range(NUM_TASKS):
        single = reference_adapted(inner_loop, select(start, task), select(data.pre, task))
        for name in params:
            assert_close(batched[name][task], single[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps_per_chunk", [1, 2 * STEPS_PER_TASK, 4 * STEPS_PER_TASK])
def test_chunk_size_changes_nothing(steps_per_chunk):
    inner_loop, params, three_tasks = problem("log_prob", 2)
    data = tree_map(lambda x: torch.cat([x, x.flip(0)]), three_tasks)
    chunks = split_tasks(data, steps_per_chunk)
    assert len(chunks) > 1
    (one, one_value, _), (other, other_value, _) = (
        meta_gradient(inner_loop, params, c) for c in ([data], chunks)
    )
    assert_close(other, one, rtol=0, atol=1e-12)
    assert_close(other_value, one_value, rtol=0, atol=1e-12)
    v = torch.linspace(-1, 1, len(ravel(params)), dtype=torch.float64)
    one, other = (meta_curvature_product(inner_loop, params, c)(v) for c in ([data], chunks))
    assert_close(other, one, rtol=0, atol=1e-12)
    one, other = (
        evaluation(inner_loop, params, c)(ravel(params) + 0.1 * v) for c in ([data], chunks)
    )
    assert_close(other, one, rtol=0, atol=1e-12)
    one, other = (
        update(inner_loop, params, data, steps_per_chunk=n)[0] for n in (ALL_TASKS, steps_per_chunk)
    )
    assert_close(ravel(other), ravel(one), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("num_tasks", "steps_per_chunk", "sizes"),
    [
        *((6, 1600, [2, 2, 2]), (6, 2399, [2, 2, 2]), (6, 4000, [6]), (5, 99_999, [5])),
        # Never one task beside larger chunks: with threads, a product of one rounds otherwise.
        *((7, 1600, [2, 2, 3]), (7, 2400, [3, 4]), (2, 1600, [2]), (3, 1600, [3])),
        *((3, 800, [1, 1, 1]), (3, 1, [1, 1, 1]), (1, 1600, [1])),
    ],
)
def test_task_chunks(num_tasks, steps_per_chunk, sizes):
    chunks = task_chunks(num_tasks, 800, steps_per_chunk)
    assert [chunk.stop - chunk.start for chunk in chunks] == sizes
    assert [task for chunk in chunks for task in range(num_tasks)[chunk]] == list(range(num_tasks))


def test_split_keeps_every_task_in_order():
    _, _, data = problem("log_prob", 2)
    chunks = split_tasks(data, 1)
    assert [len(chunk.post.weight) for chunk in chunks] == [1, 1, 1]
    for whole, *pieces in zip(tree_leaves(data), *map(tree_leaves, chunks), strict=True):
        assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize(("stride", "kept"), [(1, [0, 1, 2, 3]), (2, [0, 2]), (3, [0, 3])])
def test_stride_keeps_steps_0_n_2n(stride, kept):
    _, _, data = problem("log_prob", 2)
    thinned = every_nth_step(data, stride)
    for whole, part in zip(tree_leaves(data), tree_leaves(thinned), strict=True):
        assert torch.equal(part, whole[:, :, kept])


@pytest.mark.parametrize("stride", [1, 2])
def test_the_stride_thins_the_curvature_alone(stride):
    inner_loop, params, data = problem()
    new_params, stats = update(
        inner_loop, params, data, curvature_stride=stride, num_cg_iterations=1, damping=0.0
    )
    # After one iteration of conjugate gradient from zero, the full step is along the gradient g,
    # sqrt(2 max_kl / g^T F g) g, with g of all steps and F of the thinned ones.
    g, surrogate, _ = meta_gradient(inner_loop, params, [data])
    curvature = g @ meta_curvature_product(inner_loop, params, [every_nth_step(data, stride)])(g)
    ratio = 0.7**stats.num_backtracks
    step = ratio * torch.sqrt(0.02 / curvature) * g
    assert stats.accepted
    assert_close(ravel(new_params), ravel(params) + step, rtol=1e-9, atol=1e-12)
    point = evaluation(inner_loop, params, [data])(ravel(new_params))
    assert stats.surrogate_before == pytest.approx(float(surrogate), rel=1e-12)
    assert stats.surrogate_after == pytest.approx(float(point.surrogate), rel=1e-12)
    assert stats.kl == pytest.approx(float(point.kl), rel=1e-9)
    assert stats.gradient_norm == pytest.approx(float(torch.linalg.vector_norm(g)), rel=1e-12)


@SECOND_ORDER_AND_FIRST
def test_an_update_improves_the_surrogate_within_the_trust_region(
    surrogate, num_steps, first_order
):
    inner_loop, params, data = problem(surrogate, num_steps, first_order)
    before = {name: value.clone() for name, value in params.items()}
    new_params, stats = update(inner_loop, params, data)
    assert stats.accepted
    assert stats.surrogate_after > stats.surrogate_before
    assert 1e-4 < stats.kl <= 0.01
    assert list(new_params) == list(params)
    assert "log_std" in params
    for name, value in params.items():
        assert torch.equal(value, before[name])
        assert new_params[name].shape == value.shape
        assert (new_params[name] != value).all(), name


def test_the_natural_gradient_solves_the_trust_region_problem():
    # With enough iterations and little curvature left out, no other direction of the same
    # quadratic length gains more to first order.
    inner_loop, params, data = problem()
    new_params, stats = update(inner_loop, params, data, max_kl=1e-6, num_cg_iterations=60)
    gradient, *_ = meta_gradient(inner_loop, params, [data])
    matrix = curvature_matrix(inner_loop, params, [data])
    matrix = matrix + SETTINGS["damping"] * torch.eye(len(matrix), dtype=torch.float64)
    best = torch.linalg.solve(matrix, gradient)
    best = torch.sqrt(2e-6 / (best @ matrix @ best)) * best
    step = (ravel(new_params) - ravel(params)) / 0.7**stats.num_backtracks
    assert_close(gradient @ step, gradient @ best, rtol=1e-3, atol=0)
    # To first order the surrogate gains what the gradient predicts.
    gain = stats.surrogate_after - stats.surrogate_before
    assert gain == pytest.approx(float(gradient @ best) * 0.7**stats.num_backtracks, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "advantage_factor", "reason"),
    [
        ({"max_kl": 50.0, "max_backtracks": 1}, 1.0, "KL above max_kl"),
        ({}, 0.0, "natural gradient zero or not finite"),
        ({}, math.nan, "gradient not finite"),
    ],
)
def test_a_failed_line_search_returns_the_very_same_parameters(settings, advantage_factor, reason):
    inner_loop, params, data = problem()
    before = {name: value.clone() for name, value in params.items()}
    advantage = data.post.advantage * advantage_factor
    data = data._replace(post=data.post._replace(advantage=advantage))
    new_params, stats = update(inner_loop, params, data, **settings)
    assert not stats.accepted
    assert stats.reason == reason
    assert stats.kl == 0.0
    assert list(new_params) == list(params)
    for name, value in params.items():
        assert new_params[name] is value
        assert torch.equal(value, before[name])


@EVERY_SURROGATE_AND_DEPTH
def test_adaptation_lowers_the_loss(surrogate, num_steps):
    inner_loop, params, data = problem(surrogate, num_steps)
    for task in tasks(data):
        for step in range(num_steps):
            before, after = (
                adapt(
                    params,
                    inner_loop.loss,
                    task.pre[:k],
                    step_sizes=inner_loop.step_sizes(k),
                    first_order=True,
                )
                for k in (step, step + 1)
            )
            batch = task.pre[step]
            assert inner_loop.loss(after, batch) < inner_loop.loss(before, batch)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_padding_does_not_count(surrogate):
    inner_loop, params, data = problem(surrogate, 2)

    def elsewhere(batch):
        return PolicyGradientBatch(
            torch.where(batch.weight[..., None] == 1, batch.observation, 3.0),
            torch.where(batch.weight[..., None] == 1, batch.action, -2.0),
            torch.where(batch.weight == 1, batch.old_log_prob, 1.0),
            torch.where(batch.weight == 1, batch.advantage, 100.0),
            batch.weight,
        )

    moved = MetaData(tuple(map(elsewhere, data.pre)), elsewhere(data.post))
    expected, stats = update(inner_loop, params, data)
    new_params, moved_stats = update(inner_loop, params, moved)
    assert_close(ravel(new_params), ravel(expected), rtol=0, atol=1e-12)
    assert moved_stats.kl == pytest.approx(stats.kl, rel=1e-9)


def test_single_precision_stays_single_and_agrees():
    inner_loop, params, data = problem("likelihood_ratio", 2)
    expected, _ = update(inner_loop, params, data)
    single_params, single_data = tree_map(lambda x: x.float(), (params, data))
    new_params, stats = update(inner_loop, single_params, single_data)
    assert stats.accepted
    for name, value in new_params.items():
        assert value.dtype == torch.float32
        assert_close(value.double(), expected[name], rtol=0, atol=2e-2)


def test_with_multi_step_the_objective_is_the_mean_over_the_policies_after_every_step():
    inner_loop = make_inner_loop(multi_step=True)
    last_only = make_inner_loop()
    params = initial_params(inner_loop.policy)
    data = make_data(inner_loop, params, 2)
    after_first = MetaData(data.pre[:1], data.pre[1])
    both = meta_data([*data.pre, data.post], multi_step=True)
    assert both.post.weight.shape[1] == 2 * NUM_EPISODES

    def objective(loop, data):
        gradient, surrogate, _ = meta_gradient(loop, params, [data])
        return torch.cat([gradient, surrogate[None]])

    expected = (objective(last_only, after_first) + objective(last_only, data)) / 2
    assert_close(objective(inner_loop, both), expected)


def test_without_multi_step_only_the_last_policies_count():
    inner_loop = make_inner_loop()
    data = make_data(inner_loop, initial_params(inner_loop.policy), 2)
    arranged = meta_data([*data.pre, data.post], multi_step=False)
    for kept, given in zip(tree_leaves(arranged), tree_leaves(data), strict=True):
        assert torch.equal(kept, given)


def test_later_steps_are_smaller():
    inner_loop = replace(make_inner_loop(step_size=0.4), later_step_size_ratio=0.5)
    params = initial_params(inner_loop.policy)
    data = make_data(inner_loop, params, 2)
    task = select(data, 0)
    adapted = adapt(params, inner_loop.loss, task.pre, step_sizes=[0.4, 0.2], first_order=True)
    expected = policy_outputs(inner_loop, adapted, task.post.observation).mean
    assert_close(inner_loop.adapted_distribution(params, task).mean, expected)


@pytest.mark.parametrize("multi_step", [False, True])
def test_without_an_adaptation_step_it_is_trpo_on_the_mixture_of_the_tasks(multi_step):
    inner_loop = make_inner_loop(multi_step=multi_step)
    params = initial_params(inner_loop.policy)
    data = make_data(inner_loop, params, 0)
    arranged = meta_data([data.post], multi_step=multi_step)
    for kept, given in zip(tree_leaves(arranged), tree_leaves(data), strict=True):
        assert torch.equal(kept, given)

    def surrogate(theta):
        new = unravel(theta, params)
        return torch.stack([task_objective(inner_loop, new, t.post) for t in tasks(data)]).mean()

    def kl_gradient(theta):
        theta = theta.clone().requires_grad_()
        new = unravel(theta, params)
        kls = [task_kl(inner_loop, params, new, task.post) for task in tasks(data)]
        return torch.autograd.grad(torch.stack(kls).mean(), theta)[0]

    gradient, value, _ = meta_gradient(inner_loop, params, [arranged])
    assert_close(value, surrogate(ravel(params)))
    expected = finite_differences(surrogate, ravel(params))
    assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
    curvature = curvature_matrix(inner_loop, params, split_tasks(arranged, 2 * STEPS_PER_TASK))
    expected = finite_differences(kl_gradient, ravel(params))
    assert_close(curvature, expected, rtol=1e-6, atol=1e-8)
    new_params, stats = update(inner_loop, params, arranged)
    assert stats.accepted
    assert stats.surrogate_after > stats.surrogate_before
    assert stats.surrogate_after == pytest.approx(float(surrogate(ravel(new_params))), rel=1e-12)
    assert 1e-4 < stats.kl <= 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("surrogate", "first_order"), [("log_prob", False), ("dice", False), ("likelihood_ratio", True)]
)
def test_traced_updates_have_the_bits_of_others(monkeypatch, surrogate, first_order, dtype):
    inner_loop = make_inner_loop(surrogate, first_order=first_order)
    inner_loop.policy.to(dtype)
    traces = []
    trace = tracing._functional_trace
    monkeypatch.setattr(tracing, "_functional_trace", lambda *a: traces.append(a) or trace(*a))
    results = {}
    for calls_before_tracing in (2, 10**9):
        monkeypatch.setattr(tracing, "CALLS_BEFORE_TRACING", calls_before_tracing)
        tracing.traced_when_frequent.cache_clear()
        params, results[calls_before_tracing] = initial_params(inner_loop.policy), []
        for seed in range(3):
            double = {name: value.double() for name, value in params.items()}
            data = tree_map(lambda x: x.to(dtype), make_data(inner_loop, double, 2, seed=seed))
            params, stats = update(inner_loop, params, data)
            results[calls_before_tracing].append((ravel(params), stats))
    assert len(traces) == 3
    assert any(stats.accepted for _, stats in results[2])
    for (one, one_stats), (other, other_stats) in zip(*results.values(), strict=True):
        assert torch.equal(one, other)
        assert one_stats == other_stats
