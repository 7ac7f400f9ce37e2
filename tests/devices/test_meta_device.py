"""All mathematics on the device ``meta``, which has no numbers.

What was made on the CPU by mistake, or would be read by the host, is an error there.
"""

import numpy as np
import pytest
import torch
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from meta_rl.algorithms.adaptation import adapt
from meta_rl.algorithms.advantages import policy_gradient_batch
from meta_rl.algorithms.inner_loop import InnerLoop
from meta_rl.algorithms.meta_data import every_nth_step, meta_data, split_tasks
from meta_rl.algorithms.meta_objective import (
    meta_curvature_product,
    meta_evaluation,
    meta_gradient,
)
from meta_rl.config import load_config
from meta_rl.models.policy import make_policy
from meta_rl.ops import tracing
from meta_rl.ops.adam import AdamMoments
from meta_rl.ops.conjugate_gradient import conjugate_gradient
from meta_rl.ops.params import initial_params, ravel, repeat_per_task
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.rollouts.acting import DeviceActor, RolloutShape
from meta_rl.types import RolloutBatch

META = torch.device("meta")
M, E, T, A = 3, 2, 6, 2
OBSERVATION = 4


def inner_loop(
    surrogate: str, *, first_order: bool, multi_step: bool, num_choices: tuple[int, ...] = ()
) -> InnerLoop:
    policy = make_policy(
        OBSERVATION,
        A,
        num_choices,
        hidden_sizes=(5, 5),
        activation="tanh",
        output_scale=1.0,
        init_std=1.0,
        min_std=1e-6,
        generator=torch.Generator().manual_seed(0),
    ).to(META)
    return InnerLoop(policy, surrogate, 0.1, 0.5, first_order, multi_step)


def rollouts(action_type: torch.dtype = torch.float32) -> RolloutBatch:
    flags = {
        name: torch.zeros(M, E, T, dtype=torch.bool, device=META)
        for name in ("terminated", "truncated", "valid")
    }
    return RolloutBatch(
        observation=torch.zeros(M, E, T, OBSERVATION, device=META),
        action=torch.zeros(M, E, T, A, dtype=action_type, device=META),
        log_prob=torch.zeros(M, E, T, device=META),
        reward=torch.zeros(M, E, T, device=META),
        task=np.zeros((M, 1)),
        num_diverged=0,
        **flags,
    )


def assert_on_device(*values: object) -> None:
    leaves = [x for x in tree_leaves(values) if x is not None]
    assert leaves
    assert all(x.device == META for x in leaves)


def advantages(action_type: torch.dtype = torch.float32):
    return policy_gradient_batch(rollouts(action_type), discount_factor=0.99, gae_lambda=0.9)


def test_advantages():
    assert_on_device(*advantages())


@pytest.mark.parametrize(
    ("surrogate", "first_order", "multi_step", "steps_per_chunk"),
    [
        ("log_prob", False, True, 10**9),
        ("likelihood_ratio", True, False, E * T),
        ("dice", False, False, 10**9),
    ],
)
@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("num_choices", [(), (3, 2)])
def test_the_meta_update_up_to_the_line_search(
    monkeypatch, surrogate, first_order, multi_step, steps_per_chunk, is_traced, num_choices
):
    monkeypatch.setattr(tracing, "CALLS_BEFORE_TRACING", 1 if is_traced else 10**9)
    loop = inner_loop(
        surrogate, first_order=first_order, multi_step=multi_step, num_choices=num_choices
    )
    params = initial_params(loop.policy)
    action_type = torch.int64 if num_choices else torch.float32
    data = meta_data([advantages(action_type)] * 3, multi_step=multi_step)

    one_step = vmap(lambda p, b: adapt(p, loop.loss, [b], step_sizes=[0.1], first_order=True))
    assert_on_device(one_step(repeat_per_task(params, M), data.pre[0]))

    chunks = split_tasks(data, steps_per_chunk)
    gradient, surrogate_before, old = meta_gradient(loop, params, chunks)
    assert_on_device(gradient, surrogate_before, old)
    thinned = split_tasks(every_nth_step(data, 1 if surrogate == "dice" else 2), steps_per_chunk)
    product = meta_curvature_product(loop, params, thinned)
    solution, residual = conjugate_gradient(product, gradient, num_iterations=3)
    assert_on_device(solution, residual)
    evaluate = meta_evaluation(loop, params, chunks, old)
    assert_on_device(*evaluate(ravel(params) + solution))


@pytest.mark.parametrize("num_choices", [(), (3, 2)])
def test_the_policies_of_a_shard_act(num_choices):
    loop = inner_loop("log_prob", first_order=False, multi_step=False, num_choices=num_choices)
    shape = RolloutShape(T, M, E, OBSERVATION, A)
    with torch.no_grad():
        actor = DeviceActor(loop.policy, shape, torch.float32, META)
        params = repeat_per_task(initial_params(loop.policy), M)
        actor.begin(params, torch.zeros(T, M, E, A, device=META))
        actor._draw()
        actor.act_from(1, torch.zeros(M, E, OBSERVATION))
        assert_on_device(*actor.drawn())
        # The first thing that reaches the host are the actions.
        with pytest.raises(NotImplementedError, match="meta tensor"):
            actor.act(0, torch.zeros(M, E, OBSERVATION), torch.ones(M, E, dtype=torch.bool))


@pytest.mark.parametrize("preset", ["sine", "sine_fomaml", "sine_reptile"])
@pytest.mark.parametrize("is_traced", [False, True])
def test_supervised_updates(preset: str, is_traced: bool):
    with SupervisedProblem(load_config(preset, ["run.device=cpu"])) as problem:
        data, learned = problem.training_data(0), problem.initial_state().learned
        adaptation = problem.config.adaptation

    def step(*tensors):  # tracing counts a method's self as an argument
        return problem.algorithm.step(*tensors)

    moments = AdamMoments(**learned.memory) if learned.memory else None
    index = (
        [data.mini_batch_index(adaptation.num_adaptation_steps, adaptation.examples_per_step)]
        if preset == "sine_reptile"
        else []
    )
    arguments = tree_map(
        lambda x: x.to(META) if isinstance(x, torch.Tensor) else x,
        (learned.params, moments, data.batch, *index),
    )
    update = tracing.traced_at_first_call(step) if is_traced else step
    result = update(*arguments, torch.tensor(0.01))
    assert len(result) == 4
    assert_on_device(*result)
