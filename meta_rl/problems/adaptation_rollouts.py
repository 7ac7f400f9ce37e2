"""Collect, adapt, collect: the way from a meta-policy to episodes of adapted policies.

Training and evaluation both go it, so what is reported is what was trained.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch.func import vmap

from meta_rl.algorithms.adaptation import adapt
from meta_rl.algorithms.advantages import policy_gradient_batch
from meta_rl.algorithms.maml_trpo import InnerLoop, tasks_per_chunk
from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.ops.params import repeat_per_task
from meta_rl.problems.finite_checks import FiniteChecks, faults_during
from meta_rl.rollouts.environments import EnvironmentFault, ShardedEnv
from meta_rl.rollouts.sharded_env import collect_sharded
from meta_rl.runtime.seeding import RandomStreams
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import Params, PolicyGradientBatch, RolloutBatch


@dataclass(frozen=True)
class AdaptationSettings:
    """How tasks are played and adapted to.

    Attributes:
        inner_loop: the loss that adaptation descends.
        num_adaptation_steps: how many.
        episodes_per_task: episodes per task and adaptation step.
        horizon: longest episode, in steps.
        discount_factor: gamma.
        gae_lambda: lambda.
        standardise_advantages: whether they get mean 0 and standard deviation 1 in each task.
        max_diverged_share: largest share of a step's episodes that may end by divergence.
        steps_per_chunk: how many steps are differentiated at once, see ``maml_trpo_update``.
    """

    inner_loop: InnerLoop
    num_adaptation_steps: int
    episodes_per_task: int
    horizon: int
    discount_factor: float
    gae_lambda: float
    standardise_advantages: bool
    max_diverged_share: float
    steps_per_chunk: int


def collect_and_adapt(
    settings: AdaptationSettings,
    meta_params: Params,
    env: ShardedEnv,
    tasks: np.ndarray,
    streams: RandomStreams,
    clock: StageClock,
    normaliser: ObservationNormaliser | None = None,
) -> tuple[list[RolloutBatch], list[PolicyGradientBatch]]:
    """Plays the tasks before adaptation and after each step, with new episodes every time.

    Args:
        settings: how.
        meta_params: where adaptation starts on every task.
        env: ``len(tasks) * episodes_per_task`` simulations.
        tasks: [M, P].
        streams: random numbers; adaptation step k uses those of stage k.
        clock: counts ``sampling`` and ``adapting``.
        normaliser: what policies and baselines see observations through.

    Returns:
        The episodes at adaptation steps 0, 1, ..., K, and the batch of each of them.

    Raises:
        EnvironmentFault: an environment raised, hung, died or returned numbers that are not
            finite, or too many simulations diverged.
        NumericalError: an action, advantage, loss, gradient or adapted parameter is not finite.
    """
    inner_loop, num_tasks = settings.inner_loop, len(tasks)
    shape = (num_tasks, settings.episodes_per_task, settings.horizon)
    chunk_size = tasks_per_chunk(math.prod(shape[1:]), settings.steps_per_chunk)
    device = next(iter(meta_params.values())).device

    def adaptation_step(params: Params, batch: PolicyGradientBatch, step_size: float) -> Params:
        one_step = vmap(
            lambda params, batch: adapt(
                params, inner_loop.loss, [batch], step_sizes=[step_size], first_order=True
            ),
            chunk_size=chunk_size,
        )
        return one_step(params, batch)

    params = repeat_per_task(meta_params, num_tasks)
    episodes: list[RolloutBatch] = []
    batches: list[PolicyGradientBatch] = []
    step_sizes = inner_loop.step_sizes(settings.num_adaptation_steps)
    checks = FiniteChecks(inner_loop, tasks, env.task_parameter_names)
    for stage in range(settings.num_adaptation_steps + 1):
        with faults_during(f"adaptation step {stage}"):
            if stage > 0:
                before = params
                with clock.measure("adapting"):
                    params = adaptation_step(before, batches[-1], step_sizes[stage - 1])
                checks.adaptation(before, batches[-1], params)
            with clock.measure("sampling"):
                rollouts = collect_sharded(
                    inner_loop.policy,
                    params,
                    env,
                    tasks,
                    reset_seeds=streams.reset_seeds(stage, num_tasks, settings.episodes_per_task),
                    noise=streams.action_noise(stage, (*shape, env.action_size), device),
                    normaliser=normaliser,
                )
            _check_diverged(rollouts, settings.max_diverged_share)
            with clock.measure("adapting"):
                batch = policy_gradient_batch(
                    rollouts,
                    discount_factor=settings.discount_factor,
                    gae_lambda=settings.gae_lambda,
                    standardise_advantages=settings.standardise_advantages,
                    normaliser=normaliser,
                )
            checks.advantages(batch)
        episodes.append(rollouts)
        batches.append(batch)
    return episodes, batches


def _check_diverged(rollouts: RolloutBatch, max_share: float) -> None:
    num_episodes = rollouts.valid[..., 0].numel()
    if rollouts.num_diverged > max_share * num_episodes:
        raise EnvironmentFault(
            f"{rollouts.num_diverged} of {num_episodes} simulations diverged, a greater share "
            f"than rollout.max_diverged_share={max_share:g} allows"
        )
