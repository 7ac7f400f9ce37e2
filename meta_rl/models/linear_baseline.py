"""The linear feature baseline (Duan et al. 2016, arXiv 1604.06778), fitted anew per task."""

import torch
from torch import Tensor

OBSERVATION_BOUND = 10.0
TIME_SCALE = 100.0
RIDGE = 1e-5
# With far fewer steps than features the fit is exact and leaves rounding for an advantage. Of a
# half-cheetah's held-out episodes, the time alone told the returns better than all features did at
# two to three steps per feature, and worse at four to five.
MIN_STEPS_PER_FEATURE = 3
_NUM_TIME_FEATURES = 4


def num_baseline_features(observation_size: int) -> int:
    """``2 O + 4``."""
    return 2 * observation_size + _NUM_TIME_FEATURES


def min_steps_for_observations(observation_size: int) -> int:
    """Steps that a task must have for its baseline to see observations."""
    return MIN_STEPS_PER_FEATURE * num_baseline_features(observation_size)


def baseline_features(observation: Tensor) -> Tensor:
    """``[o, o^2, t/100, (t/100)^2, (t/100)^3, 1]`` with o clipped to +-10.

    Args:
        observation: [..., T, O]; t counts steps along the time axis, from zero.

    Returns:
        float64 [..., T, 2 O + 4].
    """
    clipped = observation.double().clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)
    steps = torch.arange(observation.shape[-2], dtype=torch.float64, device=observation.device)
    time = (steps / TIME_SCALE)[:, None].expand(*observation.shape[:-1], 1)
    return torch.cat([clipped, clipped**2, time, time**2, time**3, torch.ones_like(time)], dim=-1)


def baseline_value(observation: Tensor, return_to_go: Tensor, weight: Tensor) -> Tensor:
    """``fit_predict``, by the time alone in tasks with too few steps for all features.

    Arguments and result are those of ``fit_predict``. A task has too few steps below
    ``min_steps_for_observations``; padding does not count, so one whose episodes end early may have
    too few where others have enough. All other tasks' values are those of ``fit_predict`` bit for
    bit, and nothing waits for the device.
    """
    enough = weight.double().sum((-2, -1)) >= min_steps_for_observations(observation.shape[-1])
    return fit_predict(observation, return_to_go, weight, sees_observation=enough)


def fit_predict(
    observation: Tensor,
    return_to_go: Tensor,
    weight: Tensor,
    *,
    sees_observation: Tensor | None = None,
) -> Tensor:
    """Fits the baseline per task by ridge regression and predicts at the same observations.

    The normal equations are solved through their eigendecomposition, so that features that
    repeat or vanish (a singular system) still give the least-squares baseline.

    Args:
        observation: [M, E, T, O].
        return_to_go: [M, E, T], the regression target.
        weight: [M, E, T], 1 for steps that count and 0 for padding.
        sees_observation: bool [M], false for tasks that are fitted by the features of the time
            alone; by default there is no such task.

    Returns:
        The predicted value at every observation, padding included, [M, E, T].
    """
    features = baseline_features(observation).flatten(1, 2)
    weighted = features * weight.double().flatten(1, 2)[..., None]
    gram = weighted.mT @ features
    moment = weighted.mT @ return_to_go.double().flatten(1, 2)[..., None]
    # One or zero for each feature: what is multiplied by one keeps its bits.
    kept = torch.ones_like(moment)
    if sees_observation is not None:
        kept[:, :-_NUM_TIME_FEATURES] *= sees_observation[:, None, None]
    eigenvalue, eigenvector = torch.linalg.eigh(gram * kept * kept.mT)
    inverse = 1.0 / (eigenvalue.clamp(min=0.0) + RIDGE)
    coefficient = kept * (eigenvector @ (inverse[..., None] * (eigenvector.mT @ (kept * moment))))
    return (features @ coefficient).view_as(return_to_go).to(return_to_go.dtype)
