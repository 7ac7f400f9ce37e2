"""Collect, adapt, collect again: each step from the last one's own episodes and parameters."""

from dataclasses import replace

import pytest
import torch
from meta_rl.problems.adaptation_rollouts import collect_and_adapt
from meta_rl.problems.rl_experiment import RLExperiment
from torch.func import functional_call, grad

from meta_rl.config import load_config
from meta_rl.ops.gaussian import log_prob
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import ActionDistribution, Params, PolicyGradientBatch

STEP_SIZES = (0.5, 0.25)


@pytest.fixture(scope="module")
def experiment():
    with single_torch_thread(), RLExperiment(load_config("smoke", ["run.device=cpu"])) as made:
        yield made


def play(experiment: RLExperiment, meta_iteration: int = 0, step_size: float = 0.5, **changes):
    inner_loop = replace(experiment.inner_loop, step_size=step_size, later_step_size_ratio=0.5)
    settings = replace(
        experiment.training_settings, inner_loop=inner_loop, num_adaptation_steps=2, **changes
    )
    streams = RandomStreams(1, Split.TRAIN, meta_iteration)
    tasks = experiment.env.sample_tasks(3, streams.task_generator())
    clock = StageClock(experiment.device)
    return collect_and_adapt(
        settings, experiment.initial_params, experiment.env, tasks, streams, clock
    )


def one_task(batch: PolicyGradientBatch, m: int) -> PolicyGradientBatch:
    return PolicyGradientBatch(*(value[m] for value in batch))


def test_each_stage_is_played_by_the_policy_adapted_to_the_stages_before(experiment):
    policy = experiment.inner_loop.policy

    def reinforce(params: Params, batch: PolicyGradientBatch):
        distribution = ActionDistribution(*functional_call(policy, params, (batch.observation,)))
        weighted = log_prob(distribution, batch.action) * batch.advantage * batch.weight
        return -weighted.sum() / batch.weight.numel()

    episodes, batches = play(experiment)
    assert len(episodes) == len(batches) == 3
    for m in range(3):
        params = experiment.initial_params
        for stage, batch in enumerate(batches):
            if stage > 0:
                before = one_task(batches[stage - 1], m)
                gradient = grad(reinforce)(params, before)
                step_size = STEP_SIZES[stage - 1]
                params = {name: params[name] - step_size * gradient[name] for name in params}
            own = one_task(batch, m)
            mean, log_std = functional_call(policy, params, (own.observation,))
            expected = log_prob(ActionDistribution(mean, log_std), own.action)
            torch.testing.assert_close(own.old_log_prob, expected, rtol=1e-4, atol=1e-4)


def test_stages_and_iterations_are_played_anew_on_the_same_tasks(experiment):
    # Steps of no size, so that actions at the origin differ by their noise only.
    episodes, _ = play(experiment, step_size=0.0)
    other, _ = play(experiment, meta_iteration=1, step_size=0.0)
    first_actions = [rollouts.action[:, :, 0] for rollouts in (*episodes, other[0])]
    for i, a in enumerate(first_actions):
        for b in first_actions[:i]:
            assert (a - b).abs().min() > 1e-4
    assert all((rollouts.task == episodes[0].task).all() for rollouts in episodes)
    assert (episodes[0].task != other[0].task).all()


def test_the_size_of_chunks_changes_nothing_but_the_last_bits(experiment):
    together, _ = play(experiment, steps_per_chunk=10**9)
    apart, _ = play(experiment, steps_per_chunk=1)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a.reward, b.reward, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(a.log_prob, b.log_prob, rtol=1e-5, atol=1e-5)


def test_without_steps_there_is_one_stage(experiment):
    settings = replace(experiment.training_settings, num_adaptation_steps=0)
    streams = RandomStreams(1, Split.TEST, 0)
    tasks = experiment.env.sample_tasks(3, streams.task_generator())
    clock = StageClock(experiment.device)
    episodes, batches = collect_and_adapt(
        settings, experiment.initial_params, experiment.env, tasks, streams, clock
    )
    assert len(episodes) == len(batches) == 1
    assert clock.seconds.keys() == {"sampling", "adapting"}
