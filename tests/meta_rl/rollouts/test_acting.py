"""What a GPU does to act, done on the CPU, where it must give the same actions to the bit."""

import numpy as np
import pytest
import torch

from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.ops.params import initial_params, repeat_per_task
from meta_rl.rollouts import acting
from meta_rl.rollouts.acting import DeviceActor, HostActor, RolloutShape, recorded_or_launched

CPU = torch.device("cpu")
SHAPE = RolloutShape(horizon=6, num_tasks=3, num_episodes=4, observation_size=5, action_size=2)
EVERYONE = torch.ones(SHAPE.num_tasks, SHAPE.num_episodes, dtype=torch.bool)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def make_policy() -> GaussianPolicy:
    return GaussianPolicy(
        SHAPE.observation_size,
        SHAPE.action_size,
        hidden_sizes=(8, 8),
        activation="tanh",
        output_scale=1.0,
        init_std=0.7,
        min_std=1e-6,
        generator=torch.Generator().manual_seed(0),
    )


def rollout(policy: GaussianPolicy, seed: int):
    """Parameters that differ from task to task, noise, and observations of all time steps."""
    generator = torch.Generator().manual_seed(seed)
    params = {
        name: value + 0.3 * torch.randn(value.shape, generator=generator)
        for name, value in repeat_per_task(initial_params(policy), SHAPE.num_tasks).items()
    }
    steps = (SHAPE.horizon, SHAPE.num_tasks, SHAPE.num_episodes)
    noise = torch.randn(*steps, SHAPE.action_size, generator=generator)
    return params, noise, torch.randn(*steps, SHAPE.observation_size, generator=generator)


@pytest.mark.parametrize("last", [1, 3, 6])
def test_both_draw_the_same_actions(last: int):
    """All steps, or until all episodes have ended; in one rollout after another."""
    policy = make_policy()
    device = DeviceActor(policy, SHAPE, torch.float32, CPU)
    kept = []
    for seed in (1, 2, 3):
        params, noise, observation = rollout(policy, seed)
        host = HostActor(policy, SHAPE, params, noise)
        device.begin(params, noise)
        for t in range(last):
            ours, theirs = (actor.act(t, observation[t], EVERYONE) for actor in (host, device))
            assert np.array_equal(ours, theirs)
        if last < SHAPE.horizon:
            host.act_from(last, observation[last])
            device.act_from(last, observation[last])
        kept.append((host.drawn(), device.drawn()))
    # Also those of earlier rollouts, whose memory the later ones took.
    for ours, theirs in kept:
        assert all(torch.equal(*pair) for pair in zip(ours[:2], theirs[:2], strict=True))


def test_what_was_recorded_is_what_is_launched():
    recorded = []

    def record(work, stream):
        recorded.append(work)
        return lambda: recorded.append("launch") or work()

    policy = make_policy()
    device = DeviceActor(policy, SHAPE, torch.float32, CPU, record)
    params, noise, observation = rollout(policy, 1)
    device.begin(params, noise)
    for t in range(2):
        device.act(t, observation[t], EVERYONE)
    assert recorded[1:] == ["launch", "launch"]


def test_a_policy_that_cannot_be_recorded_acts_all_the_same(monkeypatch):
    def refuse(work, stream):
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors")

    monkeypatch.setattr(acting, "record_graph", refuse)
    monkeypatch.setattr(acting.torch, "cuda", torch.cpu)
    stream = torch.cpu.Stream()
    stream.device = CPU
    work = list.clear
    with pytest.warns(UserWarning, match="launched one by one: operation not permitted when str"):
        assert recorded_or_launched(lambda: work([]), stream) is not None
