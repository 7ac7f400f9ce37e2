"""The episodes of one stage, played by our sampler, and their physics alone."""

import time
from typing import NamedTuple

import mujoco
import numpy as np
from mujoco.batch import Batch
from torch import Tensor

from envs.batched_mujoco import compile_model, load_gymnasium_spec
from meta_rl.ops.params import repeat_per_task
from meta_rl.problems.rl import RLProblem
from meta_rl.rollouts.sharded_env import collect_sharded
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.types import Params, RolloutBatch


class Work(NamedTuple):
    """All that decides what happens in one stage's episodes.

    Attributes:
        params: the tasks' policies, [M, ...].
        tasks: float64 [M, P].
        reset_seeds: of the initial states, M * E.
        noise: standard normal [M, E, T, A], on the policy's device.
    """

    params: Params
    tasks: np.ndarray
    reset_seeds: list[int]
    noise: Tensor

    @property
    def num_env_steps(self) -> int:
        """Steps in all, if no episode ends early."""
        return self.noise[..., 0].numel()


def stage_work(experiment: RLProblem, index: int) -> Work:
    """The first stage of the meta-iteration with this index, under the initial policy."""
    rollout, env = experiment.config.rollout, experiment.env
    num_tasks, num_episodes = experiment.config.run.meta_batch_size, rollout.episodes_per_task
    streams = RandomStreams(experiment.config.run.seed, Split.TRAIN, index)
    shape = (num_tasks, num_episodes, rollout.horizon, env.action_size)
    return Work(
        params=repeat_per_task(experiment.initial_state().params, num_tasks),
        tasks=env.sample_tasks(num_tasks, streams.task_generator()),
        reset_seeds=streams.reset_seeds(0, num_tasks, num_episodes),
        noise=streams.action_noise(0, shape, experiment.device),
    )


def time_sampler(experiment: RLProblem, work: Work) -> tuple[float, RolloutBatch]:
    """Seconds that our sampler takes for the episodes, and the episodes."""
    start = time.perf_counter()
    rollouts = collect_sharded(
        experiment.policy,
        work.params,
        experiment.env,
        work.tasks,
        reset_seeds=work.reset_seeds,
        noise=work.noise,
    )
    return time.perf_counter() - start, rollouts


def time_physics(rollouts: RolloutBatch, num_threads: int) -> float:
    """Seconds that a bare ``Batch.step`` loop takes to replay HalfCheetah's episodes.

    The same initial states and actions give the same work, up to what the rounding to float32
    changes. x is left at zero: nothing depends on it.

    Args:
        rollouts: episodes at Gymnasium's scale.
        num_threads: of the simulator; 0 for one per CPU.
    """
    observation = rollouts.observation.flatten(0, 1).double().cpu().numpy()
    control = rollouts.action.flatten(0, 1).clamp(-1.0, 1.0).double().transpose(0, 1).cpu().numpy()
    batch = Batch(
        compile_model(load_gymnasium_spec("half_cheetah.xml")), len(observation), num_threads
    )
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    num_positions = qpos.shape[1] - 1
    batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
    qpos[:, 0], qpos[:, 1:] = 0.0, observation[:, 0, :num_positions]
    qvel[:] = observation[:, 0, num_positions:]
    batch.forward()
    start = time.perf_counter()
    for control_N in control:
        ctrl[:] = control_N
        batch.step(nstep=5)
    return time.perf_counter() - start
