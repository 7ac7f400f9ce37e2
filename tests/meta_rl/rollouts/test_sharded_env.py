"""Shards that are stepped at the same time give the numbers of one environment."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from envs import EnvironmentFault, make_task_vector_env
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.ops.params import initial_params, repeat_per_task
from meta_rl.rollouts.sampler import collect
from meta_rl.rollouts.sharded_env import ShardedEnv, collect_sharded
from meta_rl.runtime.seeding import RandomStreams, Split

NUM_EPISODES, HORIZON = 3, 12
TENSORS = ("observation", "action", "log_prob", "reward", "terminated", "truncated", "valid")


def make_env(env_id: str, *tasks_per_shard: int, num_parallel: int = 0) -> ShardedEnv:
    return ShardedEnv(
        tuple(
            make_task_vector_env(
                env_id, num_tasks * NUM_EPISODES, max_episode_steps=HORIZON, num_threads=1
            )
            for num_tasks in tasks_per_shard
        ),
        num_parallel or len(tasks_per_shard),
    )


def arguments(env: ShardedEnv):
    """A policy, parameters that differ from task to task, and everything else of a rollout."""
    num_tasks = env.num_envs // NUM_EPISODES
    observation_size = env.single_observation_space.shape[0]
    action_size = env.single_action_space.shape[0]
    policy = GaussianPolicy(
        observation_size,
        action_size,
        hidden_sizes=(16, 16),
        activation="tanh",
        output_scale=1.0,
        init_std=1.0,
        min_std=1e-6,
        generator=torch.Generator().manual_seed(0),
    )
    generator = torch.Generator().manual_seed(1)
    params = {
        name: value + 0.3 * torch.randn(value.shape, generator=generator)
        for name, value in repeat_per_task(initial_params(policy), num_tasks).items()
    }
    streams = RandomStreams(3, Split.TRAIN, 7)
    shape = (num_tasks, NUM_EPISODES, HORIZON, action_size)
    return (policy, params), {
        "tasks": env.sample_tasks(num_tasks, streams.task_generator()),
        "reset_seeds": streams.reset_seeds(0, num_tasks, NUM_EPISODES),
        "noise": streams.action_noise(0, shape, torch.device("cpu")),
    }


@pytest.mark.parametrize("env_id", ["HalfCheetahVel-v0", "Navigation2D-v0"])
@pytest.mark.parametrize("tasks_per_shard", [(5,), (3, 2), (1, 4), (2, 2, 1)])
def test_shards_equal_one_environment(env_id, tasks_per_shard):
    env, whole = make_env(env_id, *tasks_per_shard), make_env(env_id, 5)
    who, what = arguments(env)
    # Not to the bit, since a batched product may round differently for another number of tasks,
    # and the robot is chaotic; so in double precision.
    policy, params = who[0].double(), {name: value.double() for name, value in who[1].items()}
    what["noise"] = what["noise"].double()
    sharded = collect_sharded(policy, params, env, **what)
    together = collect(policy, params, whole.shards[0], **what)
    for name in TENSORS:
        assert_close(getattr(sharded, name), getattr(together, name))
    assert np.array_equal(sharded.task, what["tasks"])
    assert sharded.observation.is_contiguous()


@pytest.mark.parametrize("env_id", ["HalfCheetahVel-v0", "Navigation2D-v0"])
def test_shards_one_after_another_equal_shards_at_the_same_time_bit_for_bit(env_id):
    batches = []
    for num_parallel in (1, 2, 3):
        env = make_env(env_id, 2, 2, 1, num_parallel=num_parallel)
        who, what = arguments(env)
        batches.append(collect_sharded(*who, env, **what))
    for batch in batches[1:]:
        for name in TENSORS:
            assert torch.equal(getattr(batch, name), getattr(batches[0], name)), name


def test_a_shard_acts_while_another_is_stepped():
    env = make_env("Navigation2D-v0", 1, 1)
    # Neither gets past its first step before both have come to it.
    both = threading.Barrier(2, timeout=20)
    for shard in env.shards:
        shard.step = _after(both, shard.step)
    who, what = arguments(env)
    assert collect_sharded(*who, env, **what).env_steps > 0


def _after(barrier: threading.Barrier, step):
    def first_step_waits(action):
        if not first_step_waits.done:
            first_step_waits.done = True
            barrier.wait()
        return step(action)

    first_step_waits.done = False
    return first_step_waits


def test_the_process_has_as_many_torch_threads_afterwards_as_before():
    env = make_env("Navigation2D-v0", 1, 1)
    # The second shard begins after the first one and ends after it.
    begun = [threading.Event(), threading.Event()]
    ended = threading.Event()
    first, second = env.shards
    _wait_before(first, "step", begun[0].set, begun[1].wait, ended.set)
    _wait_before(second, "reset", begun[0].wait)
    _wait_before(second, "step", begun[1].set, lambda: ended.wait(20) and time.sleep(0.2))
    who, what = arguments(env)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        collect_sharded(*who, env, **what)
        # Asked in a new thread: one that has asked before keeps the number that it was told.
        with ThreadPoolExecutor(1) as new_thread:
            assert new_thread.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(num_threads)


def _wait_before(shard, name: str, at_first, at_last=lambda: None, after_last=lambda: None) -> None:
    """Lets a shard do something before its first call of a method, and around its last one."""
    method, num_calls = getattr(shard, name), 0

    def called(*arguments, **options):
        nonlocal num_calls
        num_calls += 1
        if num_calls == 1:
            at_first()
        if num_calls == HORIZON:
            at_last()
            after_last()
        return method(*arguments, **options)

    setattr(shard, name, called)


def test_the_fault_of_the_first_failing_shard_is_the_one_reported():
    env = make_env("Navigation2D-v0", 1, 1, 1)
    who, what = arguments(env)
    what["tasks"] = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])

    def faulty(name):
        def step(action):
            raise EnvironmentFault(name)

        return step

    env.shards[1].step, env.shards[2].step = faulty("second"), faulty("third")
    with pytest.raises(EnvironmentFault, match="second"):
        collect_sharded(*who, env, **what)


def test_closing_closes_every_shard():
    env = make_env("HalfCheetahVel-v0", 2, 1)
    env.close()
    assert all(shard.closed for shard in env.shards)
