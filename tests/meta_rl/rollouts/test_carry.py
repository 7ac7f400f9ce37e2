"""What a policy remembers goes from step to step of an episode, as it would in a plain loop."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn
from torch.func import functional_call

from envs.batched_task_env import BatchedTaskEnv
from envs.task_env import TaskFamily
from meta_rl.distributions.categorical import categorical_of
from meta_rl.ops.params import initial_params, repeat_per_task
from meta_rl.rollouts.acting import DeviceActor, HostActor, RolloutShape
from meta_rl.rollouts.batched_policy import CarryKind
from meta_rl.rollouts.sampler import collect
from meta_rl.rollouts.sharded_env import ShardedEnv, collect_sharded

M, E, T, O, H, N = 3, 2, 6, 3, 4, 3  # noqa: E741
LENGTHS = (2.0, 4.0, 6.0)


class RecurrentPolicy(nn.Module):
    """Two tensors of memory with different axes, one of them a count of steps."""

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(O, H)
        self.memory = nn.Linear(H, H)
        self.logits = nn.Linear(H, N)

    def forward(self, observation, carry):
        state = torch.tanh(self.input(observation) + self.memory(carry["state"]))
        count = carry["count"] + 1
        logits = self.logits(state) + 0.1 * count[..., None]
        return categorical_of(logits, (N,)), {"state": state, "count": count}


class Motion:
    def __init__(self, observation):
        self.observation = observation
        self.diverged = np.zeros(len(observation), dtype=bool)


class Choices:
    """Observes its last choice, the sum of all, and the number of steps."""

    def __init__(self, num_simulations: int):
        self.num_simulations = num_simulations
        self.observation_space = Box(-np.inf, np.inf, (O,), np.float64)
        self.action_space = Discrete(N, start=-1)
        self.state = np.zeros((num_simulations, O))

    def reset(self, ids, generators):
        self.state[:] = [generator.normal(size=O) for generator in generators]
        self.state[:, 2] = 0.0
        return self.state.copy()

    def step(self, ids, action):
        rows = slice(None) if ids is None else ids
        self.state[rows, 0] = action
        self.state[rows, 1] += action
        self.state[rows, 2] += 1
        return Motion(self.state[rows].copy())


def choices(num_tasks: int) -> BatchedTaskEnv:
    family = TaskFamily(
        ("length",),
        lambda num_tasks, rng: rng.uniform(size=(num_tasks, 1)),
        lambda motion, action, tasks: {"reward_choice": action.astype(float)},
        lambda motion, tasks: motion.observation[:, 2] >= tasks[:, 0],
    )
    return BatchedTaskEnv(Choices(num_tasks * E), family, T)


def setting():
    """A policy, its parameters on each task, noise, and a carry that is not zero."""
    torch.manual_seed(0)
    policy = RecurrentPolicy()
    params = {
        name: value + 0.3 * torch.randn(value.shape)
        for name, value in repeat_per_task(initial_params(policy), M).items()
    }
    carry = {"state": torch.randn(M, E, H), "count": torch.zeros(M, E)}
    return policy, params, torch.randn(M, E, T, 1), carry


@pytest.mark.parametrize("num_shards", [1, 2])
def test_episodes_are_those_of_a_plain_loop(num_shards):
    policy, params, noise, carry = setting()
    sizes = [M] if num_shards == 1 else [2, 1]
    env = ShardedEnv(tuple(choices(size) for size in sizes), num_parallel=num_shards)
    batch = collect_sharded(
        policy,
        params,
        env,
        np.array(LENGTHS)[:, None],
        reset_seeds=range(M * E),
        noise=noise,
        carry=carry,
    )
    assert batch.valid.sum(-1).tolist() == [[length] * E for length in LENGTHS]
    assert batch.action.shape == (M, E, T, 1)
    assert batch.action.dtype == torch.int64
    for m in range(M):
        own = {name: value[m] for name, value in params.items()}
        for e in range(E):
            remembered = {name: value[m, e] for name, value in carry.items()}
            for t in range(int(LENGTHS[m])):
                observation = batch.observation[m, e, t]
                distribution, remembered = functional_call(policy, own, (observation, remembered))
                action = distribution.draw(noise[m, e, t])
                assert torch.equal(batch.action[m, e, t], action)
                torch.testing.assert_close(
                    batch.log_prob[m, e, t], distribution.log_prob(action), rtol=1e-5, atol=1e-5
                )
                # The space counts its choices from minus one.
                assert batch.reward[m, e, t] == action - 1
            torch.testing.assert_close(batch.carry["state"][m, e], remembered["state"])
            assert batch.carry["count"][m, e] == LENGTHS[m]


def test_memory_matters_and_goes_on_where_it_is_handed_on():
    policy, params, noise, carry = setting()
    what = {"reset_seeds": range(M * E), "noise": noise}
    tasks = np.array(LENGTHS)[:, None]
    first = collect(policy, params, choices(M), tasks, carry=carry, **what)
    second = collect(policy, params, choices(M), tasks, carry=first.carry, **what)
    assert torch.equal(first.observation[:, :, 0], second.observation[:, :, 0])
    assert not torch.allclose(first.log_prob[:, :, 0], second.log_prob[:, :, 0])
    assert torch.equal(second.carry["count"], 2 * first.carry["count"])


def test_a_gpu_remembers_the_same():
    policy, params, noise, carry = setting()
    shape = RolloutShape(T, M, E, O, 1)
    noise_TMEA = noise.permute(2, 0, 1, 3).contiguous()
    generator = torch.Generator().manual_seed(1)
    observation = torch.randn(T, M, E, O, generator=generator)
    with torch.no_grad():
        device = DeviceActor(
            policy, shape, torch.float32, torch.device("cpu"), None, CarryKind.of(carry)
        )
        for scale in (1.0, 2.0):
            started = {name: scale * value for name, value in carry.items()}
            host = HostActor(policy, shape, params, noise_TMEA, started)
            device.begin(params, noise_TMEA, started)
            for t in range(4):
                running = torch.arange(M)[:, None].expand(M, E) >= t - 1
                ours, theirs = (actor.act(t, observation[t], running) for actor in (host, device))
                assert np.array_equal(ours, theirs)
            for actor in (host, device):
                actor.act_from(4, observation[4])
            ours, theirs = host.drawn(), device.drawn()
            assert torch.equal(ours.action, theirs.action)
            assert torch.equal(ours.log_prob, theirs.log_prob)
            for name in carry:
                assert torch.equal(ours.carry[name], theirs.carry[name])
            # Task 0 runs for two steps, task 2 for all four.
            assert ours.carry["count"][:, 0].tolist() == [2, 3, 4]
