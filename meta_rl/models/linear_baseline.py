"""The linear feature baseline (Duan et al. 2016, arXiv 1604.06778), fitted anew per task."""

import torch
from torch import Tensor

OBSERVATION_BOUND = 10.0
TIME_SCALE = 100.0
RIDGE = 1e-5


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


def fit_predict(observation: Tensor, return_to_go: Tensor, weight: Tensor) -> Tensor:
    """Fits the baseline per task by ridge regression and predicts at the same observations.

    The normal equations are solved through their eigendecomposition, so that features that
    repeat or vanish (a singular system) still give the least-squares baseline.

    Args:
        observation: [M, E, T, O].
        return_to_go: [M, E, T], the regression target.
        weight: [M, E, T], 1 for steps that count and 0 for padding.

    Returns:
        The predicted value at every observation, padding included, [M, E, T].
    """
    features = baseline_features(observation).flatten(1, 2)
    weighted = features * weight.double().flatten(1, 2)[..., None]
    gram = weighted.mT @ features
    moment = weighted.mT @ return_to_go.double().flatten(1, 2)[..., None]
    eigenvalue, eigenvector = torch.linalg.eigh(gram)
    inverse = 1.0 / (eigenvalue.clamp(min=0.0) + RIDGE)
    coefficient = eigenvector @ (inverse[..., None] * (eigenvector.mT @ moment))
    return (features @ coefficient).view_as(return_to_go).to(return_to_go.dtype)
