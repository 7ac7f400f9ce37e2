"""From episodes to standardised advantages: what ends, what bootstraps, what does not count."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from meta_rl.algorithms.advantages import policy_gradient_batch
from meta_rl.models import linear_baseline
from meta_rl.models.linear_baseline import fit_predict
from meta_rl.types import RolloutBatch

GAMMA, LAMBDA = 0.9, 0.7


@pytest.fixture(autouse=True)
def _any_number_of_steps_is_enough(monkeypatch):
    """Batches that can be followed by hand have fewer steps than the baseline asks for."""
    monkeypatch.setattr(linear_baseline, "MIN_STEPS_PER_FEATURE", 0)


def make(length, *, horizon=4, seed=0, terminated=(), truncated=()):
    """Random episodes of the given lengths [task][episode].

    ``terminated`` and ``truncated`` list (task, episode) pairs whose last step is marked so.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    length = torch.tensor(length)
    steps = (*length.shape, horizon)
    valid = torch.arange(horizon) < length[..., None]
    observation = normal(*steps, 2)
    for task, episode in np.ndindex(length.shape):
        end = int(length[task, episode])
        observation[task, episode, end + 1 :] = observation[task, episode, min(end, horizon - 1)]
    marks = []
    for pairs in (terminated, truncated):
        mark = torch.zeros(steps, dtype=torch.bool)
        for task, episode in pairs:
            mark[task, episode, length[task, episode] - 1] = True
        marks.append(mark)
    return RolloutBatch(
        observation=observation,
        action=normal(*steps, 3),
        log_prob=normal(*steps),
        reward=normal(*steps) * valid,
        terminated=marks[0],
        truncated=marks[1],
        valid=valid,
        task=np.zeros((len(length), 1)),
        num_diverged=0,
    )


def compute(rollouts, **settings):
    return policy_gradient_batch(rollouts, discount_factor=GAMMA, gae_lambda=LAMBDA, **settings)


def by_definition(rollouts):
    """Returns-to-go, values and raw advantages, step by step in plain Python."""
    num_tasks, num_episodes, horizon = rollouts.reward.shape
    return_to_go = torch.zeros_like(rollouts.reward)
    for task, episode in np.ndindex(num_tasks, num_episodes):
        for t in range(horizon):
            for later in range(t, horizon):
                if rollouts.valid[task, episode, later]:
                    reward = rollouts.reward[task, episode, later]
                    return_to_go[task, episode, t] += GAMMA ** (later - t) * reward
    value = fit_predict(rollouts.observation, return_to_go, rollouts.valid.double())
    advantage = torch.zeros_like(value)
    for task, episode in np.ndindex(num_tasks, num_episodes):
        following = 0.0
        for t in reversed(range(int(rollouts.valid[task, episode].sum()))):
            terminated = bool(rollouts.terminated[task, episode, t])
            next_value = 0.0
            if not terminated and t + 1 < horizon:
                next_value = float(value[task, episode, t + 1])
            reward = float(rollouts.reward[task, episode, t])
            delta = reward + GAMMA * next_value - float(value[task, episode, t])
            following = delta + GAMMA * LAMBDA * following
            advantage[task, episode, t] = following
    return advantage


def standardised(advantage, valid):
    """Per task, over the real steps alone."""
    result = torch.zeros_like(advantage)
    for task in range(len(advantage)):
        real = advantage[task][valid[task]]
        result[task][valid[task]] = (real - real.mean()) / real.std(correction=0)
    return result


@pytest.mark.parametrize(
    "rollouts",
    [
        make([[4, 4, 4]]),
        make([[4, 2, 1]], terminated=[(0, 0), (0, 1), (0, 2)]),
        make([[4, 2, 1]], truncated=[(0, 0), (0, 1), (0, 2)]),
        make([[4, 3, 2], [4, 3, 1]], terminated=[(0, 1), (1, 2)], truncated=[(0, 2), (1, 1)]),
    ],
    ids=["full", "terminated", "truncated early", "mixed"],
)
def test_equals_the_definition(rollouts):
    advantage = compute(rollouts).advantage
    expected = standardised(by_definition(rollouts), rollouts.valid)
    assert_close(advantage, expected, rtol=1e-6, atol=1e-6)
    raw = compute(rollouts, standardise_advantages=False).advantage
    assert_close(raw, by_definition(rollouts), rtol=1e-6, atol=1e-6)


def test_cut_early_bootstraps_and_terminated_does_not():
    ends = [(0, 0)]
    truncated = make([[2, 4, 4]], truncated=ends)
    terminated = make([[2, 4, 4]], terminated=ends)
    assert not torch.allclose(compute(truncated).advantage, compute(terminated).advantage)
    # The final observation of the shorter episode matters only where it bootstraps.
    for rollouts, matters in ((truncated, True), (terminated, False)):
        moved = rollouts.observation.clone()
        moved[0, 0, 2:] += 1.0
        advantage = compute(replace(rollouts, observation=moved)).advantage
        same = torch.allclose(advantage, compute(rollouts).advantage, rtol=0, atol=1e-9)
        assert same is not matters


def test_nothing_beyond_the_horizon():
    # An episode that lasts to the horizon has the same advantages whether or not a time limit is
    # marked there.
    marked = make([[4, 4]], truncated=[(0, 0), (0, 1)])
    unmarked = replace(marked, truncated=torch.zeros_like(marked.truncated))
    assert torch.equal(compute(marked).advantage, compute(unmarked).advantage)


def test_padding_is_weightless_and_of_no_advantage():
    rollouts = make([[4, 2, 1], [3, 3, 4]], terminated=[(0, 1), (0, 2), (1, 0), (1, 1)])
    batch = compute(rollouts)
    assert torch.equal(batch.weight, rollouts.valid.double())
    assert (batch.advantage[~rollouts.valid] == 0).all()
    longer = make([[4, 2, 1], [3, 3, 4]], terminated=[(0, 1), (0, 2), (1, 0), (1, 1)])
    pad = {
        name: torch.cat([getattr(longer, name), getattr(longer, name)[:, :, -1:] * 0], dim=2)
        for name in ("action", "log_prob", "reward", "terminated", "truncated", "valid")
    }
    last = longer.observation[:, :, -1:]
    # One step more of horizon: the full episodes must end, lest they bootstrap from it.
    pad["terminated"][:, :, 3] |= longer.valid[:, :, 3]
    padded = replace(longer, observation=torch.cat([longer.observation, last], dim=2), **pad)
    assert_close(compute(padded).advantage[:, :, :4], batch.advantage, rtol=0, atol=1e-9)


def test_standardised_per_task():
    rollouts = make([[4, 4, 2], [4, 3, 4]], terminated=[(0, 2), (1, 1)])
    reward = rollouts.reward * torch.tensor([1.0, 100.0])[:, None, None]
    batch = compute(replace(rollouts, reward=reward))
    for task in range(2):
        real = batch.advantage[task][rollouts.valid[task]]
        assert_close(float(real.mean()), 0.0, rtol=0, atol=1e-12)
        assert_close(float(real.std(correction=0)), 1.0, rtol=1e-6, atol=0)
    # Scaling one task's reward leaves the other's advantages alone, and its own too.
    assert_close(batch.advantage, compute(rollouts).advantage, rtol=0, atol=1e-6)


def test_tasks_together_equal_tasks_alone():
    rollouts = make([[4, 2], [3, 4], [4, 4]], terminated=[(0, 1)], truncated=[(1, 0)])
    together = compute(rollouts)
    tensors = (
        "observation",
        "action",
        "log_prob",
        "reward",
        "terminated",
        "truncated",
        "valid",
        "task",
    )
    for task in range(3):
        alone = replace(
            rollouts, **{name: getattr(rollouts, name)[task : task + 1] for name in tensors}
        )
        for batched, single in zip(together, compute(alone), strict=True):
            assert_close(batched[task : task + 1], single, rtol=0, atol=1e-9)


def test_what_is_passed_through():
    rollouts = make([[4, 2]], terminated=[(0, 1)])
    batch = compute(rollouts)
    assert batch.observation is rollouts.observation
    assert batch.action is rollouts.action
    assert batch.old_log_prob is rollouts.log_prob


def test_no_reward_gives_no_advantage():
    rollouts = make([[4, 4]])
    batch = compute(replace(rollouts, reward=torch.zeros_like(rollouts.reward)))
    assert (batch.advantage == 0).all()


def test_single_precision_stays_single():
    rollouts = make([[4, 2]], terminated=[(0, 1)])
    single = replace(
        rollouts,
        **{name: getattr(rollouts, name).float() for name in ("observation", "reward", "log_prob")},
    )
    batch = compute(single)
    assert batch.advantage.dtype == batch.weight.dtype == torch.float32
    assert_close(batch.advantage.double(), compute(rollouts).advantage, rtol=0, atol=1e-4)
