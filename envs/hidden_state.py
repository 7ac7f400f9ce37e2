"""State of an environment that outlives an episode, where it can be seen."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from envs.wrapper_layers import layers

_INSTEAD = {
    "NormalizeObservation": "policy.normalise_observations=true does the same with statistics "
    "that are saved with the checkpoint",
    "NormalizeReward": "advantages are standardised for each task as it is",
}


def statistics_problem(env: gymnasium.Env[Any, Any]) -> str | None:
    """A sentence's rest about a wrapper that keeps running statistics, or None without one."""
    for layer in layers(env):
        name = type(layer).__name__
        if not _keeps_statistics(layer):
            continue
        instead = _INSTEAD.get(name, "freeze or remove them")
        return (
            f"{name} keeps running statistics, which no checkpoint holds and no two environments "
            f"share, so that returns depend on what was played before; leave it out: {instead}"
        )
    return None


def _keeps_statistics(layer: gymnasium.Env[Any, Any]) -> bool:
    if getattr(layer, "update_running_mean", None) is False:
        return False
    # Gymnasium's class has this name, and so have the copies in other packages.
    return any("RunningMeanStd" in type(value).__name__ for value in vars(layer).values())


@contextmanager
def global_generators_watched(used: dict[str, set[str]], moment: str) -> Iterator[None]:
    """Note under `moment` which process-wide generators are drawn from or seeded in this context.

    Args:
        used: generator's name -> moments, added to.
        moment: "step".
    """
    before = _global_states()
    yield
    for name, state in _global_states().items():
        if not _equal(state, before[name]):
            used.setdefault(name, set()).add(moment)


def _global_states() -> dict[str, Any]:
    return {"numpy.random": np.random.get_state(), "random": random.getstate()}


def _equal(state: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(state, other, strict=True))
