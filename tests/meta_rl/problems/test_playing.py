"""Collect, adapt, collect again: each step from the last one's own episodes and parameters."""

from dataclasses import replace

import pytest
import torch
from torch.func import functional_call, grad

from meta_rl.config import load_config
from meta_rl.problems.algorithm_results import AlgorithmError
from meta_rl.problems.playing import TaskPlay
from meta_rl.problems.rl import RLProblem, rollouts_of
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import Params, PolicyGradientBatch, RolloutBatch

STEP_SIZES = (0.5, 0.25)


@pytest.fixture(scope="module")
def problem():
    with single_torch_thread(), RLProblem(load_config("smoke", ["run.device=cpu"])) as made:
        yield made


def task_play(problem: RLProblem, meta_iteration: int = 0, split: Split = Split.TRAIN) -> TaskPlay:
    """On three new tasks."""
    streams = RandomStreams(1, split, meta_iteration)
    return TaskPlay(
        rollouts_of(problem.config, problem.policy, problem.config.rollout.episodes_per_task),
        problem.env,
        problem.env.sample_tasks(3, streams.task_generator()),
        streams,
        algorithm=problem.algorithm,
        name="maml_trpo",
        clock=StageClock(problem.device),
    )


def play(
    problem: RLProblem,
    meta_iteration: int = 0,
    *,
    step_size: float = 0.5,
    num_steps: int = 2,
    steps_per_chunk: int = 1000,
) -> tuple[list[RolloutBatch], list[PolicyGradientBatch]]:
    """Episodes of all stages, and the batch of each."""
    adaptation = problem.algorithm.collect_and_adapt
    loop = replace(adaptation.inner_loop, step_size=step_size, later_step_size_ratio=0.5)
    adaptation = replace(adaptation, inner_loop=loop, steps_per_chunk=steps_per_chunk)
    params = problem.initial_state().params
    episodes, batches = adaptation(params, task_play(problem, meta_iteration), num_steps)
    return episodes, [*batches, adaptation.batch(episodes[-1])]


def one_task(batch: PolicyGradientBatch, m: int) -> PolicyGradientBatch:
    return PolicyGradientBatch(*(value[m] for value in batch))


def test_each_stage_is_played_by_the_policy_adapted_to_the_stages_before(problem):
    policy = problem.policy

    def reinforce(params: Params, batch: PolicyGradientBatch):
        distribution, _ = functional_call(policy, params, (batch.observation, ()))
        weighted = distribution.log_prob(batch.action) * batch.advantage * batch.weight
        return -weighted.sum() / batch.weight.numel()

    episodes, batches = play(problem)
    assert len(episodes) == len(batches) == 3
    for m in range(3):
        params = problem.initial_state().params
        for stage, batch in enumerate(batches):
            if stage > 0:
                before = one_task(batches[stage - 1], m)
                gradient = grad(reinforce)(params, before)
                step_size = STEP_SIZES[stage - 1]
                params = {name: params[name] - step_size * gradient[name] for name in params}
            own = one_task(batch, m)
            distribution, _ = functional_call(policy, params, (own.observation, ()))
            expected = distribution.log_prob(own.action)
            torch.testing.assert_close(own.old_log_prob, expected, rtol=1e-4, atol=1e-4)


def test_stages_and_iterations_are_played_anew_on_the_same_tasks(problem):
    # Steps of no size, so that actions at the origin differ by their noise only.
    episodes, _ = play(problem, step_size=0.0)
    other, _ = play(problem, meta_iteration=1, step_size=0.0)
    first_actions = [rollouts.action[:, :, 0] for rollouts in (*episodes, other[0])]
    for i, a in enumerate(first_actions):
        for b in first_actions[:i]:
            assert (a - b).abs().min() > 1e-4
    assert all((rollouts.task == episodes[0].task).all() for rollouts in episodes)
    assert (episodes[0].task != other[0].task).all()


def test_the_size_of_chunks_changes_nothing_but_the_last_bits(problem):
    together, _ = play(problem, steps_per_chunk=10**9)
    apart, _ = play(problem, steps_per_chunk=1)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a.reward, b.reward, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(a.log_prob, b.log_prob, rtol=1e-5, atol=1e-5)


def test_without_steps_there_is_one_stage(problem):
    adaptation = problem.algorithm.collect_and_adapt
    one = task_play(problem, split=Split.TEST)
    episodes, batches = adaptation(problem.initial_state().params, one, 0)
    assert len(episodes) == 1
    assert batches == []
    assert one._clock.seconds.keys() == {"sampling"}


def test_the_time_between_two_stages_is_that_of_adapting(problem):
    one = task_play(problem)
    problem.algorithm.adapt(problem.initial_state().learned, one, 2)
    assert one._clock.seconds.keys() == {"sampling", "adapting"}


def test_what_was_played_is_kept_as_it_was(problem):
    one = task_play(problem)
    episodes = problem.algorithm.adapt(problem.initial_state().learned, one, 1)
    assert [id(stage) for stage in one.episodes] == [id(stage) for stage in episodes]
    seeds = [one.reset_seeds(stage) for stage in range(2)]
    assert seeds[0].shape == (3, 4)
    assert len({*seeds[0].ravel(), *seeds[1].ravel()}) == 24


def test_only_parameters_of_the_policy_for_every_task_are_played_with(problem):
    params = problem.initial_state().params
    wrong = {
        r"the parameter log_std of shape \(2,\), where \(3, 2\) belongs": params,
        r"log_std of shape none, where \(3, 2\) belongs": {
            name: value.expand(3, *value.shape)
            for name, value in params.items()
            if name != "log_std"
        },
        "of shape none, where": None,
    }
    for message, given in wrong.items():
        with pytest.raises(AlgorithmError, match=message):
            task_play(problem)(given)
