"""ProMP's objective on a bandit solved by hand, and what holds whatever the numbers are.

The bandit's policy is a Bernoulli distribution with p = sigmoid(theta): a categorical one with the
logits 0 and theta.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.testing import assert_close
from torch.utils._pytree import tree_map

from meta_rl.algorithms.inner_loop import InnerLoop
from meta_rl.algorithms.meta_data import MetaData
from meta_rl.algorithms.meta_objective import meta_gradient
from meta_rl.algorithms.promp import (
    Objective,
    ProMP,
    ProximalAdaptation,
    ProximalUpdate,
    adapted_coefficient,
    pre_distributions,
    task_gradients,
    task_points,
)
from meta_rl.algorithms.protocol import TrainingContext
from meta_rl.distributions.categorical import Categorical
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.models.policy import action_distribution
from meta_rl.ops.objectives import clipped_surrogate
from meta_rl.ops.params import initial_params, ravel
from meta_rl.types import AlgorithmState, Params, PolicyGradientBatch

CLIP_RANGE, ETA = 0.2, 0.1


def f64(x: object) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.3, 1.0, 1.2, 0.0),
        (1.3, -1.0, -1.3, -1.0),
        (0.7, 1.0, 0.7, 1.0),
        (0.7, -1.0, -0.8, 0.0),
        (1.1, 1.0, 1.1, 1.0),
    ],
)
def test_the_ratio_is_clipped_where_that_makes_the_surrogate_smaller(
    ratio: float, advantage: float, value: float, slope: float
):
    ratio = f64([[ratio]]).requires_grad_()
    surrogate = clipped_surrogate(
        ratio.log(), f64([[0.0]]), f64([[advantage]]), f64([[1.0]]), clip_range=CLIP_RANGE
    )
    assert_close(surrogate, f64(value))
    assert_close(torch.autograd.grad(surrogate, ratio)[0], f64([[slope]]))


class Coin(nn.Module):
    """One parameter: the probability of action 1 is sigmoid(theta), whatever is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(f64([0.4]))

    def forward(self, observation: Tensor, carry: object = ()) -> tuple[Categorical, object]:
        logits = torch.stack([torch.zeros_like(self.theta), self.theta], dim=-1)
        return Categorical(logits.expand(*observation.shape[:-1], 1, 2)), carry


def inner_loop_of(policy: nn.Module, **changes: object) -> InnerLoop:
    settings = {
        "surrogate": "likelihood_ratio",
        "step_size": 0.5,
        "later_step_size_ratio": 1.0,
        "first_order": False,
        "multi_step": False,
    }
    return InnerLoop(policy, **{**settings, **changes})


def coin_batch(policy: nn.Module, theta: float, action: object, advantage: object):
    """Two episodes of two steps of one task, drawn from the coin with this theta."""
    action = torch.tensor(action)[None, ..., None]
    observation = torch.zeros(*action.shape[:-1], 1, dtype=torch.float64)
    drawn_by = action_distribution(policy, {"theta": f64([theta])}, observation)
    log_prob = drawn_by.log_prob(action)
    return PolicyGradientBatch(
        observation, action, log_prob, f64(advantage)[None], torch.ones_like(log_prob)
    )


ADAPTED = 0.650410106215


def bandit(**changes: object) -> tuple[InnerLoop, MetaData]:
    """Data drawn at theta = .4 before, and at what adapting makes of it afterwards."""
    policy = Coin()
    pre = coin_batch(policy, 0.4, ((1, 0), (1, 1)), ((1.0, -1.0), (0.5, 2.0)))
    post = coin_batch(policy, ADAPTED, ((1, 0), (0, 1)), ((1.0, -0.5), (-2.0, 1.5)))
    return inner_loop_of(policy, **changes), MetaData((pre,), post)


def objective_at(
    theta: float, clip_range: float | None, eta: float, **changes: object
) -> tuple[Tensor, Tensor]:
    """Value and gradient, both []."""
    inner_loop, data = bandit(**changes)
    objective = Objective(inner_loop, clip_range)
    old = pre_distributions(objective, {"theta": f64([0.4])}, data)
    gradient, value = task_gradients(objective, {"theta": f64([theta])}, data, old, f64([eta]))
    return value[0], gradient[0, 0]


BANDIT = pytest.mark.parametrize(
    ("theta", "adapted", "ratios", "kl", "value", "slope", "unclipped"),
    [
        (0.4, 0.650410106, (1.0, 1.0), 0.0, 0.0, 0.594109515686, (0.0, 0.594109515686)),
        (
            *(0.6, 0.838448798, (1.062449188, 0.880326961), 0.004735166063),
            *(0.113352875269, 0.539261637601, (0.113352875269, 0.539261637601)),
        ),
        (
            *(0.9, 1.114181279, (1.145798991, 0.720601521), 0.028794792276),
            *(0.213244890051, 0.149732959498, (0.262868939647, 0.458183242594)),
        ),
        (
            *(1.4, 1.565388241, (1.258745327, 0.504159455), 0.108714497406),
            *(0.239128550259, -0.020349622845, (0.460744720389, 0.336635298997)),
        ),
    ],
)


@BANDIT
def test_the_two_step_bandit(theta, adapted, ratios, kl, value, slope, unclipped):
    inner_loop, data = bandit()
    params = {"theta": f64([theta])}
    task = tree_map(lambda x: x[0], data)
    steps = inner_loop.adapted_params(params, task)
    assert_close(steps[1]["theta"], f64([adapted]), rtol=0, atol=1e-9)
    p, p_old = (torch.sigmoid(f64(x)) for x in (float(steps[1]["theta"]), ADAPTED))
    assert_close(torch.stack([p / p_old, (1 - p) / (1 - p_old)]), f64(ratios), rtol=0, atol=1e-8)
    for clip_range, expected in ((CLIP_RANGE, (value, slope)), (None, unclipped)):
        found = objective_at(theta, clip_range, ETA)
        assert_close(torch.stack(found), f64(expected), rtol=0, atol=1e-10)
    objective = Objective(inner_loop, CLIP_RANGE)
    old = pre_distributions(objective, {"theta": f64([0.4])}, data)
    surrogate, share, inner_kl = task_points(objective, params, data, old)[0]
    assert_close(inner_kl, f64(kl), rtol=0, atol=1e-11)
    assert_close(surrogate, f64(value + ETA * kl), rtol=0, atol=1e-10)
    clipped = sum(abs(ratio - 1) > CLIP_RANGE for ratio in ratios) / 2
    assert_close(share, f64(clipped))


def test_other_inner_steps_have_other_gradients():
    for changes, slope in (
        ({"surrogate": "log_prob"}, 0.578074073098),
        ({"first_order": True}, 0.625),
    ):
        _, gradient = objective_at(0.4, CLIP_RANGE, ETA, **changes)
        assert_close(gradient, f64(slope), rtol=0, atol=1e-10)


def test_the_coefficient_is_halved_far_below_the_target_and_doubled_far_above():
    found = adapted_coefficient(
        torch.full((4,), 5e-4, dtype=torch.float64), f64([0.006, 0.0067, 0.0149, 0.0151]), 0.01
    )
    assert_close(found, f64([2.5e-4, 5e-4, 5e-4, 1e-3]))


# What holds whatever the numbers are, on a small Gaussian policy


def gaussian_policy() -> GaussianPolicy:
    return GaussianPolicy(
        *(2, 2),
        hidden_sizes=(4,),
        activation="tanh",
        output_scale=1.0,
        init_std=0.6,
        min_std=1e-3,
        generator=torch.Generator().manual_seed(0),
    ).double()


def episodes_of(
    inner_loop: InnerLoop, params: Params, num_tasks: int, num_steps: int, seed: int = 0
) -> MetaData:
    """Drawn step by step from the adapting policies, with lengths from 1 to 4."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_tasks, 3, 4)

    def normal(*more: int) -> Tensor:
        return torch.randn((*shape, *more), dtype=torch.float64, generator=generator)

    def stage(params_M: Params) -> PolicyGradientBatch:
        observation = normal(2)
        distribution = vmap(lambda p, o: action_distribution(inner_loop.policy, p, o))(
            params_M, observation
        )
        action = distribution.draw(normal(2))
        length = torch.randint(1, 5, (*shape[:2], 1), generator=generator)
        weight = (torch.arange(4) < length).double()
        return PolicyGradientBatch(
            observation, action, distribution.log_prob(action), normal(), weight
        )

    params_M = {name: value.expand(num_tasks, *value.shape) for name, value in params.items()}
    stages = [stage(params_M)]
    for _ in range(num_steps):
        data = MetaData(tuple(stages), stages[-1])
        adapted = vmap(lambda task: inner_loop.adapted_params(params, task)[-1])(data)
        stages.append(stage(adapted))
    return MetaData(tuple(stages[:-1]), stages[-1])


def promp(inner_loop: InnerLoop, **update: object) -> ProMP:
    """With the default settings but for those given."""
    config = SimpleNamespace(
        adaptation=ProximalAdaptation(num_adaptation_steps=2),
        meta_update=ProximalUpdate(**update),
        rollout=SimpleNamespace(discount_factor=0.9, gae_lambda=1.0, standardise_advantages=True),
    )
    made = ProMP(config, inner_loop.policy, TrainingContext(10, 10**6))
    made.objective = Objective(inner_loop, made.objective.clip_range)
    return made


def state_of(made: ProMP) -> AlgorithmState:
    return made.initial_state(torch.Generator())


def climbed(made: ProMP, *chunks: MetaData) -> Tensor:
    return ravel(made.climb(state_of(made), chunks)[0].params)


@pytest.fixture(scope="module")
def problem() -> tuple[InnerLoop, Params, MetaData]:
    inner_loop = inner_loop_of(gaussian_policy(), step_size=0.3)
    params = initial_params(inner_loop.policy)
    return inner_loop, params, episodes_of(inner_loop, params, num_tasks=3, num_steps=2)


def first_gradient(problem, clip_range: float | None, eta: float) -> tuple[Tensor, Tensor]:
    """Means over the tasks of gradient and value at the sampling parameters."""
    inner_loop, params, data = problem
    objective = Objective(inner_loop, clip_range)
    old = pre_distributions(objective, params, data)
    coefficient = torch.full((2,), eta, dtype=torch.float64)
    gradient, value = task_gradients(objective, params, data, old, coefficient)
    return gradient.mean(0), value.mean()


def test_at_the_sampling_parameters_every_ratio_is_one(problem):
    inner_loop, params, data = problem
    new = vmap(lambda task: inner_loop.adapted_distribution(params, task))(data)
    log_ratio = new.log_prob(data.post.action) - data.post.old_log_prob
    assert_close(log_ratio, torch.zeros_like(log_ratio), rtol=0, atol=1e-12)
    objective = Objective(inner_loop, 0.2)
    points = task_points(objective, params, data, pre_distributions(objective, params, data))
    assert_close(points[:, 1:], torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=1e-15)


def test_there_clipping_and_penalty_change_no_gradient(problem):
    """And it is the one that the trust region climbs."""
    inner_loop, params, data = problem
    expected, value, _ = meta_gradient(inner_loop, params, [data])
    for clip_range, eta in ((None, 0.0), (0.2, 0.0), (0.2, 0.7)):
        gradient, found = first_gradient(problem, clip_range, eta)
        assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
        assert_close(found, value, rtol=1e-9, atol=1e-12)
    assert expected.norm() > 1e-3


def test_a_wide_clip_range_without_a_penalty_is_the_unclipped_objective(problem):
    inner_loop, _, data = problem
    settings = {"step_size": 0.05, "inner_kl_coefficient": 0.0}
    wide = climbed(promp(inner_loop, clip_range=1e9, **settings), data)
    unclipped = climbed(promp(inner_loop, objective="likelihood_ratio", **settings), data)
    assert torch.equal(wide, unclipped)
    narrow = climbed(promp(inner_loop, clip_range=0.05, **settings), data)
    assert not torch.equal(narrow, unclipped)
    penalised = promp(inner_loop, clip_range=1e9, step_size=0.05, inner_kl_coefficient=1.0)
    assert not torch.equal(climbed(penalised, data), unclipped)


def test_the_order_of_tasks_and_their_chunks_change_nothing(problem):
    inner_loop, _, data = problem
    made = promp(inner_loop)
    whole = climbed(made, data)
    permuted = tree_map(lambda x: x[[2, 0, 1]], data)
    parts = [tree_map(lambda x, i=i: x[i], data) for i in (slice(0, 1), slice(1, 3))]
    assert_close(climbed(made, permuted), whole, rtol=0, atol=1e-12)
    assert_close(climbed(made, *parts), whole, rtol=0, atol=1e-12)


def test_episodes_after_adapting_count(problem):
    """Other ones alone change the meta-gradient; so do other ones before adapting."""
    inner_loop, _, data = problem
    made = promp(inner_loop, num_epochs=1, step_size=1.0)
    other = episodes_of(inner_loop, initial_params(inner_loop.policy), 3, 2, seed=5)
    before = made.climb(state_of(made), [data])[0].memory["first"]
    for changed in (data._replace(post=other.post), data._replace(pre=other.pre)):
        after = made.climb(state_of(made), [changed])[0].memory["first"]
        assert (after - before).norm() > 1e-3 * before.norm()


def test_the_objective_rises_and_the_memory_goes_on(problem):
    inner_loop, _, data = problem
    made = promp(inner_loop, step_size=0.01, inner_kl_target=1e9)
    state, metrics = made.climb(state_of(made), [data])
    assert metrics["surrogate_after"] > metrics["objective_before"]
    assert len(metrics["inner_kl"]) == 2
    assert state.memory["num_steps"] == 5
    # Far below such a target, the penalty is halved.
    assert_close(state.memory["inner_kl_coefficient"], torch.full((2,), 2.5e-4).double())
    again, _ = made.climb(state, [data])
    assert again.memory["num_steps"] == 10
    afresh, _ = made.climb(state_of(made)._replace(params=state.params), [data])
    assert not torch.equal(ravel(again.params), ravel(afresh.params))
