"""The sampler: many tasks at once equal to one at a time, exact in numbers and in masks."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from envs import make_task_vector_env
from envs.batched_task_env import BatchedTaskEnv
from envs.task_env import EnvironmentFault, TaskFamily
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.models.policy import action_distribution
from meta_rl.ops.params import initial_params, repeat_per_task
from meta_rl.rollouts.sampler import NumericalError, collect
from meta_rl.rollouts.sharded_env import ShardedEnv, collect_sharded
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.types import Params, RolloutBatch

CPU = torch.device("cpu")
LOW, HIGH = np.array([-1.0, 0.0]), np.array([3.0, 0.5])
FIELDS = ("observation", "action", "log_prob", "reward", "terminated", "truncated", "valid")


class WalkMotion(NamedTuple):
    observation: np.ndarray
    diverged: np.ndarray


class Walk:
    """Sums up its actions; counts the steps of each simulation and keeps the actions it got."""

    def __init__(self, num_simulations: int):
        self.num_simulations = num_simulations
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = Box(LOW, HIGH, dtype=np.float64)
        self.state = np.zeros((num_simulations, 3))
        self.num_steps = np.zeros(num_simulations, dtype=int)
        self.actions: list[np.ndarray] = []

    def reset(self, ids, generators):
        assert ids is None
        self.state[:, :2] = [generator.normal(size=2) for generator in generators]
        self.state[:, 2] = 0
        return self.state.copy()

    def step(self, ids, action):
        rows = slice(None) if ids is None else ids
        self.num_steps[rows] += 1
        self.actions.append(action)
        self.state[rows, :2] += action
        self.state[rows, 2] += 1
        return WalkMotion(self.state[rows].copy(), np.zeros(len(action), dtype=bool))


def walk(num_envs: int, horizon: int, *, poison: str = "") -> BatchedTaskEnv:
    """Episodes of ``length`` steps; in tasks of negative ``scale``, ``poison`` is not finite."""
    dynamics = Walk(num_envs)

    def reward_terms(motion, action, tasks):
        if poison == "observation":
            motion.observation[tasks[:, 1] < 0] = np.inf
        reward = tasks[:, 1] + motion.observation[:, 2]
        return {"reward_x": np.where((tasks[:, 1] < 0) & (poison == "reward"), np.nan, reward)}

    family = TaskFamily(
        ("length", "scale"),
        lambda num_tasks, rng: rng.uniform(size=(num_tasks, 2)),
        reward_terms,
        lambda motion, tasks: motion.observation[:, 2] >= tasks[:, 0],
    )
    return BatchedTaskEnv(dynamics, family, horizon)


def policy_for(env, num_tasks: int, *, std: float = 1.0) -> tuple[GaussianPolicy, Params]:
    """A policy and parameters that differ from task to task."""
    policy = GaussianPolicy(
        env.single_observation_space.shape[0],
        env.single_action_space.shape[0],
        hidden_sizes=(16, 16),
        activation="tanh",
        output_scale=1.0,
        init_std=std,
        min_std=1e-6,
        generator=torch.Generator().manual_seed(0),
    )
    generator = torch.Generator().manual_seed(1)
    params = {
        name: value + 0.3 * torch.randn(value.shape, generator=generator)
        for name, value in repeat_per_task(initial_params(policy), num_tasks).items()
    }
    return policy, params


def sample(env, policy, params, tasks, num_episodes: int, horizon: int) -> RolloutBatch:
    streams = RandomStreams(3, Split.TRAIN, 7)
    shape = (len(tasks), num_episodes, horizon, env.single_action_space.shape[0])
    return collect_sharded(
        policy,
        params,
        ShardedEnv((env,), num_parallel=1),
        tasks,
        reset_seeds=streams.reset_seeds(0, len(tasks), num_episodes),
        noise=streams.action_noise(0, shape, CPU),
    )


def walks(lengths: list[float], *, horizon: int = 6, num_episodes: int = 2, **options):
    """Episodes of the given lengths, one per task, with the environment they were played in."""
    tasks = np.array([[length, i + 1.0] for i, length in enumerate(lengths)])
    env = walk(len(tasks) * num_episodes, horizon, **options)
    policy, params = policy_for(env, len(tasks))
    return env, policy, params, sample(env, policy, params, tasks, num_episodes, horizon)


@pytest.mark.parametrize("env_id", ["HalfCheetahVel-v0", "Navigation2D-v0"])
def test_the_batch_equals_a_loop_over_tasks(env_id):
    num_tasks, num_episodes, horizon = 4, 3, 25
    env = make_task_vector_env(env_id, num_tasks * num_episodes, max_episode_steps=horizon)
    policy, params = policy_for(env, num_tasks)
    # In double precision, because contacts amplify the last bit of a matrix product.
    params = {name: value.double() for name, value in params.items()}
    tasks = env.sample_tasks(num_tasks, np.random.default_rng(0))
    streams = RandomStreams(3, Split.TRAIN, 7)
    reset_seeds = streams.reset_seeds(0, num_tasks, num_episodes)
    shape = (num_tasks, num_episodes, horizon, env.single_action_space.shape[0])
    noise = streams.action_noise(0, shape, CPU).double()
    batch = collect(policy.double(), params, env, tasks, reset_seeds=reset_seeds, noise=noise)
    env.close()
    single = make_task_vector_env(env_id, num_episodes, max_episode_steps=horizon)
    for m in range(num_tasks):
        alone = collect(
            policy,
            {name: value[m : m + 1] for name, value in params.items()},
            single,
            tasks[m : m + 1],
            reset_seeds=reset_seeds[m * num_episodes : (m + 1) * num_episodes],
            noise=noise[m : m + 1],
        )
        for name in FIELDS:
            together, apart = getattr(batch, name)[m], getattr(alone, name)[0]
            torch.testing.assert_close(together, apart, rtol=1e-6, atol=1e-6)
    single.close()


def test_the_numbers_do_not_depend_on_the_number_of_threads_and_repeat():
    batches = []
    for num_threads in (1, 2, 2):
        env = make_task_vector_env(
            "HalfCheetahVel-v0", 12, max_episode_steps=30, num_threads=num_threads
        )
        policy, params = policy_for(env, 4)
        tasks = env.sample_tasks(4, np.random.default_rng(0))
        batches.append(sample(env, policy, params, tasks, 3, 30))
        if num_threads == 2:
            # A second rollout of the same environments: nothing may be left of the first.
            batches.append(sample(env, policy, params, tasks, 3, 30))
        env.close()
    for batch in batches[1:]:
        for name in FIELDS:
            assert torch.equal(getattr(batch, name), getattr(batches[0], name)), name


def test_parameters_are_found_by_name_whatever_their_order():
    _, policy, params, batch = walks([6, 6, 6])
    tasks = batch.task
    shuffled = dict(reversed(params.items()))
    again = sample(walk(6, 6), policy, shuffled, tasks, 2, 6)
    assert torch.equal(again.action, batch.action)


def test_no_two_episodes_share_their_exploration():
    env = make_task_vector_env("HalfCheetahVel-v0", 40, max_episode_steps=5)
    policy, params = policy_for(env, 1)
    # The same policy and the same task everywhere: only the random numbers can differ.
    params = {name: value.expand(10, *value.shape[1:]) for name, value in params.items()}
    batch = sample(env, policy, params, np.ones((10, 1)), 4, 5)
    env.close()
    for quantity in (batch.action, batch.observation[:, :, 0]):
        episodes = quantity.reshape(40, -1)
        distance = torch.cdist(episodes.double(), episodes.double()) + torch.eye(40) * 9
        assert distance.min() > 1e-3


def test_episodes_end_where_they_end():
    env, _, _, batch = walks([2, 9, 4])
    length_ME = torch.tensor([[2, 2], [6, 6], [4, 4]])
    time = torch.arange(6)
    valid = time < length_ME[..., None]
    last = time == length_ME[..., None] - 1
    early = length_ME[..., None] < 6
    assert torch.equal(batch.valid, valid)
    assert torch.equal(batch.terminated, last & early)
    assert torch.equal(batch.truncated, last & ~early)
    # The reward is the task's scale (1, 2, 3) plus the number of steps so far.
    scale = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    assert torch.equal(batch.reward, (scale + time + 1) * valid)
    assert torch.equal(batch.episode_return[0], torch.tensor([5.0, 5.0]))  # (1 + 1) + (1 + 2)
    # An ended episode's simulation rests, and so does its observation.
    assert env.dynamics.num_steps.tolist() == length_ME.flatten().tolist()
    assert batch.env_steps == 2 * (2 + 6 + 4) == env.dynamics.num_steps.sum()
    for m, length in enumerate([2, 6, 4]):
        padding = batch.observation[m, :, length:]
        assert (padding[..., 2] == length).all()
        assert (padding == padding[:, :1]).all()
        assert (batch.observation[m, :, :length, 2] == time[:length]).all()
    assert batch.num_diverged == 0


def test_when_all_episodes_have_ended_the_rest_is_padding():
    env, policy, params, batch = walks([2, 3])
    assert env.dynamics.num_steps.tolist() == [2, 2, 3, 3]
    assert (batch.observation[0, :, 2:, 2] == 2).all()
    assert (batch.observation[1, :, 3:, 2] == 3).all()
    assert not batch.valid[:, :, 3:].any()
    # A task that goes on keeps the others' padding as it is: leaving early changes nothing.
    longer = sample(walk(6, 6), policy, *_with_a_third(params, batch.task), 2, 6)
    for name in FIELDS:
        if name != "task":
            torch.testing.assert_close(getattr(longer, name)[:2], getattr(batch, name))


def _with_a_third(params: Params, task: np.ndarray) -> tuple[Params, np.ndarray]:
    more = {name: torch.cat([value, value[:1]]) for name, value in params.items()}
    return more, np.concatenate([task, [[9.0, 1.0]]])


def test_log_prob_is_that_of_the_policy():
    _, policy, params, batch = walks([2, 3, 6])
    for m in range(3):
        own = {name: value[m] for name, value in params.items()}
        expected = action_distribution(policy, own, batch.observation[m]).log_prob(batch.action[m])
        torch.testing.assert_close(batch.log_prob[m], expected, rtol=1e-5, atol=1e-5)


def test_actions_are_rescaled_to_the_box_and_clipped_but_kept_as_drawn():
    env, _, _, batch = walks([6, 6])
    drawn = batch.action.flatten(0, 1).double().numpy()  # [M * E, T, A]
    assert np.abs(drawn).max() > 1.0, "some actions should lie outside the box"
    # The box is [-1, 3] x [0, .5]: its centre is (1, .25), its half width (2, .25).
    expected = np.clip([1.0, 0.25] + np.array([2.0, 0.25]) * drawn, LOW, HIGH)
    received = np.stack(env.dynamics.actions, axis=1)
    np.testing.assert_allclose(received, expected, atol=1e-12)
    assert (received == LOW).any()
    assert (received == HIGH).any()


@pytest.mark.parametrize("quantity", ["observation", "reward"])
def test_a_number_that_is_not_finite_is_a_fault_that_names_the_task(quantity):
    env = walk(6, 5, poison=quantity)
    policy, params = policy_for(env, 3)
    tasks = np.array([[5.0, 0.5], [5.0, -0.25], [5.0, -0.75]])
    with pytest.raises(EnvironmentFault) as caught:
        sample(env, policy, params, tasks, 2, 5)
    assert str(caught.value) == (
        f"The environment returned a non-finite {quantity} (task length=5, scale=-0.25)."
    )


def test_an_action_that_is_not_finite_is_the_policys_fault():
    env = walk(6, 5)
    policy, params = policy_for(env, 3)
    params["log_std"][2] = 1e9
    tasks = np.array([[5.0, 0.0], [5.0, 1.0], [5.0, 2.0]])
    with pytest.raises(NumericalError, match=r"action is not finite \(task length=5, scale=2\)"):
        sample(env, policy, params, tasks, 2, 5)


@pytest.mark.parametrize("poison", ["", "reward"])
def test_the_number_of_torch_threads_is_as_before(poison):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    during = []
    env = walk(2, 3, poison=poison)
    policy, params = policy_for(env, 1)
    step = env.dynamics.step
    env.dynamics.step = lambda *args: during.append(torch.get_num_threads()) or step(*args)
    try:
        if poison:
            with pytest.raises(EnvironmentFault):
                sample(env, policy, params, np.array([[3.0, -1.0]]), 2, 3)
        else:
            sample(env, policy, params, np.array([[3.0, 1.0]]), 2, 3)
        assert torch.get_num_threads() == 3
        assert set(during) == {1}
    finally:
        torch.set_num_threads(before)


def test_the_batch_carries_no_graph_and_is_of_the_policys_type():
    _, _, _, batch = walks([2, 3])
    for name in FIELDS:
        value = getattr(batch, name)
        assert not value.requires_grad
        assert value.is_contiguous()
        boolean = name in ("terminated", "truncated", "valid")
        assert value.dtype == (torch.bool if boolean else torch.float32)
