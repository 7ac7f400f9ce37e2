"""The linear feature baseline against a fit by hand and against least squares."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from meta_rl.models.linear_baseline import (
    RIDGE,
    baseline_features,
    baseline_value,
    fit_predict,
    min_steps_for_observations,
)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def random_batch(seed, *, num_tasks=2, num_episodes=4, time=6, observation_size=2):
    generator = torch.Generator().manual_seed(seed)
    steps = (num_tasks, num_episodes, time)
    observation = torch.randn(*steps, observation_size, dtype=torch.float64, generator=generator)
    return_to_go = 10 * torch.randn(steps, dtype=torch.float64, generator=generator)
    length = torch.randint(1, time + 1, (num_tasks, num_episodes, 1), generator=generator)
    return observation, return_to_go, (torch.arange(time) < length).double()


def test_features():
    features = baseline_features(f64([[0.5], [-1], [20]]))
    # 20 is clipped to 10; t = 0, 1, 2.
    expected = [
        [0.5, 0.25, 0, 0, 0, 1],
        [-1, 1, 0.01, 1e-4, 1e-6, 1],
        [10, 100, 0.02, 4e-4, 8e-6, 1],
    ]
    assert_close(features, f64(expected), rtol=1e-15, atol=0)
    assert_close(baseline_features(f64([[-20, 3]])), f64([[-10, 3, 100, 9, 0, 0, 0, 1]]))


def test_time_starts_anew_in_every_episode():
    features = baseline_features(torch.zeros(4, 3, 5, 2))
    assert features.dtype == torch.float64
    assert_close(features[..., 4], (torch.arange(5) / 100).double().expand(4, 3, 5))


def test_known_prediction():
    prediction = fit_predict(
        f64([[[[0.5], [-1], [20]]]]), f64([[[2.75, 3.5, 3]]]), torch.ones(1, 1, 3)
    )
    assert_close(prediction, f64([[[2.749982, 3.499988, 3.000000]]]), rtol=0, atol=5e-7)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_ridge_regression_on_the_real_steps(seed):
    observation, return_to_go, weight = random_batch(seed)
    prediction = fit_predict(observation, return_to_go, weight)
    for task in range(2):
        features = baseline_features(observation[task]).reshape(24, -1)
        real = weight[task].flatten() == 1
        # Ridge as least squares with one more row per feature.
        rows = torch.cat([features[real], 1e-5**0.5 * torch.eye(8, dtype=torch.float64)])
        target = torch.cat([return_to_go[task].flatten()[real], torch.zeros(8)])
        coefficient = torch.linalg.lstsq(rows, target).solution
        expected = (features @ coefficient).view(4, 6)
        # At padding too, where an episode that was cut early bootstraps.
        assert_close(prediction[task], expected, rtol=1e-5, atol=1e-5)


def test_padding_does_not_count():
    observation, return_to_go, weight = random_batch(0)
    expected = fit_predict(observation, return_to_go, weight)
    elsewhere = torch.where(weight == 1, return_to_go, 1e6)
    assert_close(fit_predict(observation, elsewhere, weight), expected)
    moved = torch.where(weight[..., None] == 1, observation, 7.0)
    prediction = fit_predict(moved, return_to_go, weight)
    assert_close(prediction * weight, expected * weight)


def test_every_task_has_its_own_fit():
    observation, return_to_go, weight = random_batch(0, num_tasks=3)
    together = fit_predict(observation, return_to_go, weight)
    for task in range(3):
        alone = slice(task, task + 1)
        single = fit_predict(observation[alone], return_to_go[alone], weight[alone])
        assert_close(together[alone], single, rtol=1e-9, atol=1e-9)
    return_to_go[0] += 1000
    changed = fit_predict(observation, return_to_go, weight)
    assert_close(changed[1:], together[1:], rtol=1e-9, atol=1e-9)


def test_singular_design_matrix():
    # Observations that never change, or repeat each other: far fewer directions than features.
    observation = torch.ones(2, 5, 4, 6, dtype=torch.float64)
    observation[1] = torch.arange(5.0)[:, None, None]
    return_to_go = torch.stack(
        [torch.full((5, 4), 3.0), 2.0 * torch.arange(5)[:, None].expand(5, 4)]
    )
    prediction = fit_predict(observation, return_to_go.double(), torch.ones(2, 5, 4))
    assert_close(prediction, return_to_go.double(), rtol=0, atol=1e-4)


def test_observations_far_beyond_the_bound_and_no_step_at_all():
    observation, return_to_go, weight = random_batch(0)
    prediction = fit_predict(1e30 * observation, return_to_go, weight)
    assert prediction.isfinite().all()
    assert (fit_predict(observation, return_to_go, 0 * weight) == 0).all()


def test_returns_in_single_precision_are_fitted_in_double():
    # Squares of features up to 1e8 beside a ridge of 1e-5 are beyond single precision.
    observation, return_to_go, weight = random_batch(0)
    observation = (9 + observation / 10).float()
    prediction = fit_predict(observation, return_to_go.float(), weight.float())
    assert prediction.dtype == torch.float32
    expected = fit_predict(observation.double(), return_to_go.float().double(), weight)
    assert_close(prediction, expected.float(), rtol=1e-6, atol=1e-5)


def without_a_choice(observation, return_to_go, weight):
    """The ridge regression on all features, whatever the number of steps."""
    features = baseline_features(observation).flatten(1, 2)
    weighted = features * weight.double().flatten(1, 2)[..., None]
    moment = weighted.mT @ return_to_go.double().flatten(1, 2)[..., None]
    eigenvalue, eigenvector = torch.linalg.eigh(weighted.mT @ features)
    inverse = 1.0 / (eigenvalue.clamp(min=0.0) + RIDGE)
    coefficient = eigenvector @ (inverse[..., None] * (eigenvector.mT @ moment))
    return (features @ coefficient).view_as(return_to_go).to(return_to_go.dtype)


@given(
    seed=st.integers(0, 2**31),
    observation_size=st.integers(1, 20),
    num_tasks=st.integers(1, 4),
    single=st.booleans(),
)
@settings(deadline=None, max_examples=20)
def test_with_steps_enough_no_bit_is_changed_by_the_choice(
    seed, observation_size, num_tasks, single
):
    time = min_steps_for_observations(observation_size)
    observation, return_to_go, weight = random_batch(
        seed, num_tasks=num_tasks, time=time, observation_size=observation_size
    )
    weight[:, 0] = 1
    batch = observation, return_to_go, weight
    if single:
        batch = tuple(x.float() for x in batch)
    assert torch.equal(baseline_value(*batch), without_a_choice(*batch))


def time_alone(return_to_go, weight):
    """Least squares on [t, t^2, t^3, 1] / 100^n over the real steps of one task [E, T]."""
    time = torch.arange(return_to_go.shape[-1], dtype=torch.float64) / 100
    features = torch.stack([time, time**2, time**3, torch.ones_like(time)], -1)
    real = weight.flatten() == 1
    repeated = features.repeat(len(return_to_go), 1)
    rows = torch.cat([repeated[real], RIDGE**0.5 * torch.eye(4, dtype=torch.float64)])
    target = torch.cat([return_to_go.flatten()[real], torch.zeros(4, dtype=torch.float64)])
    return (features @ torch.linalg.lstsq(rows, target).solution).expand_as(return_to_go)


@pytest.mark.parametrize(("num_episodes", "time", "size"), [(4, 20, 100), (2, 3, 1), (3, 40, 39)])
def test_with_too_few_steps_the_time_alone_predicts(num_episodes, time, size):
    batch = random_batch(0, num_episodes=num_episodes, time=time, observation_size=size)
    value = baseline_value(*batch)
    for task in range(2):
        assert_close(value[task], time_alone(batch[1][task], batch[2][task]), rtol=1e-6, atol=1e-6)


def test_a_task_of_early_ends_sees_the_time_and_no_other_task_changes():
    # 8 features, so 24 steps are needed; the tasks have 40, 24, 23 and none.
    observation, return_to_go, _ = random_batch(0, num_tasks=4, time=10)
    length = torch.tensor([[10] * 4, [6] * 4, [6, 6, 6, 5], [0] * 4])
    weight = (torch.arange(10) < length[..., None]).double()
    value = baseline_value(observation, return_to_go, weight)
    full = without_a_choice(observation, return_to_go, weight)
    assert torch.equal(value[:2], full[:2])
    assert_close(value[2], time_alone(return_to_go[2], weight[2]), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(value[2], full[2])
    assert (value[3] == 0).all()


@pytest.mark.parametrize("size", [2, 100])
def test_the_host_is_not_asked_which_tasks_have_enough_steps(size):
    # On the meta device there are no values: whatever would wait for one raises an error.
    observation, return_to_go, weight = (
        x.to("meta") for x in random_batch(0, observation_size=size)
    )
    assert baseline_value(observation, return_to_go, weight).shape == return_to_go.shape
