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
from meta_rl.ops.params import repeat_per_task
from meta_rl.rollouts.environments import ShardedEnv
from meta_rl.rollouts.sharded_env import collect_sharded
from meta_rl.training.seeding import RandomStreams
from meta_rl.training.stage_clock import StageClock
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
        steps_per_chunk: how many steps are differentiated at once, see ``maml_trpo_update``.
    """

    inner_loop: InnerLoop
    num_adaptation_steps: int
    episodes_per_task: int
    horizon: int
    discount_factor: float
    gae_lambda: float
    steps_per_chunk: int


def collect_and_adapt(
    settings: AdaptationSettings,
    meta_params: Params,
    env: ShardedEnv,
    tasks: np.ndarray,
    streams: RandomStreams,
    clock: StageClock,
) -> tuple[list[RolloutBatch], list[PolicyGradientBatch]]:
    """Plays the tasks before adaptation and after each step, with new episodes every time.

    Args:
        settings: how.
        meta_params: where adaptation starts on every task.
        env: ``len(tasks) * episodes_per_task`` simulations.
        tasks: [M, P].
        streams: random numbers; adaptation step k uses those of stage k.
        clock: counts ``sampling`` and ``adapting``.

    Returns:
        The episodes at adaptation steps 0, 1, ..., K, and the batch of each of them.
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
    for stage in range(settings.num_adaptation_steps + 1):
        if stage > 0:
            with clock.measure("adapting"):
                params = adaptation_step(params, batches[-1], step_sizes[stage - 1])
        with clock.measure("sampling"):
            rollouts = collect_sharded(
                inner_loop.policy,
                params,
                env,
                tasks,
                reset_seeds=streams.reset_seeds(stage, num_tasks, settings.episodes_per_task),
                noise=streams.action_noise(
                    stage, (*shape, env.single_action_space.shape[0]), device
                ),
            )
        with clock.measure("adapting"):
            batch = policy_gradient_batch(
                rollouts,
                discount_factor=settings.discount_factor,
                gae_lambda=settings.gae_lambda,
            )
        episodes.append(rollouts)
        batches.append(batch)
    return episodes, batches
