"""Observations of any structure as one vector of floats."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from numpy.typing import NDArray

from envs.env_returns import converted_observation
from envs.readable import described
from envs.user_fault import InvalidReturn

_MAX_BYTE = 255.0


class _Part(NamedTuple):
    """How one part of an observation becomes entries of the vector.

    Attributes:
        low: [entry].
        high: [entry].
        dtype: a type of floats that loses nothing.
        entries: (method that returned it, value) -> [entry].
    """

    low: NDArray[Any]
    high: NDArray[Any]
    dtype: np.dtype[Any]
    entries: Callable[[str, Any], NDArray[Any]]


def can_be_flat(space: Space[Any]) -> bool:
    """Whether observations of this space can be one vector."""
    return _part_of(space) is not None


class FlatObservation(gymnasium.Wrapper[NDArray[Any], Any, Any, Any]):
    """Everything that an observation holds, entry after entry, in the order of its space.

    Numbers stay as they are, but for bytes: those, which are pictures as a rule, are divided by
    255. A choice of a `Discrete` or `MultiDiscrete` space becomes a one and zeros.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Wrap an environment whose observations can be flat."""
        super().__init__(env)
        part = _part_of(env.observation_space)
        assert part is not None
        self._part = part
        self.observation_space = Box(
            part.low.astype(part.dtype), part.high.astype(part.dtype), dtype=part.dtype.type
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode.

        Raises:
            InvalidReturn: the observation is not of its space.
        """
        return self._flattened("reset", 2, self.env.reset(seed=seed, options=options))

    def step(self, action: Any) -> Any:
        """Take a step.

        Raises:
            InvalidReturn: the observation is not of its space.
        """
        return self._flattened("step", 5, self.env.step(action))

    def _flattened(self, method: str, num_values: int, result: Any) -> Any:
        # What is of another form is refused by the checks outside of this layer.
        if not isinstance(result, tuple) or len(result) != num_values:
            return result
        vector = self._part.entries(method, result[0]).astype(self._part.dtype)
        return (vector, *result[1:])


def _part_of(space: Space[Any]) -> _Part | None:
    """How observations of a space become entries; None where they cannot."""
    if isinstance(space, Box):
        return _numbers(space)
    if isinstance(space, Discrete | MultiDiscrete):
        return _choices(space)
    if isinstance(space, MultiBinary):
        return _numbers(Box(0, 1, space.shape, np.int8))
    if isinstance(space, Dict):
        return _joined(dict(space.spaces), dict, "a dictionary")
    if isinstance(space, Tuple):
        return _joined(dict(enumerate(space.spaces)), (tuple, list), "a tuple")
    return None


def _numbers(space: Box) -> _Part:
    is_bytes = space.dtype == np.uint8
    scale = _MAX_BYTE if is_bytes else 1.0
    dtype = np.dtype(np.float32) if is_bytes else np.result_type(space.dtype, np.float32)

    def entries(method: str, value: Any) -> NDArray[Any]:
        return (converted_observation(method, value, space).reshape(-1) / scale).astype(dtype)

    low, high = (bound.reshape(-1).astype(dtype) / scale for bound in (space.low, space.high))
    return _Part(low, high, dtype, entries)


def _choices(space: Discrete | MultiDiscrete) -> _Part:
    first = np.ravel(space.start)
    count = np.ravel(space.n if isinstance(space, Discrete) else space.nvec)
    offset = np.cumsum(count) - count
    size = int(count.sum())

    def entries(method: str, value: Any) -> NDArray[Any]:
        if not _is_choice(value, space):
            raise InvalidReturn(
                method,
                f"returned {described(value)} in an observation; it should be a choice of {space}",
            )
        one_hot = np.zeros(size, dtype=np.float32)
        one_hot[offset + np.ravel(value) - first] = 1.0
        return one_hot

    return _Part(np.zeros(size), np.ones(size), np.dtype(np.float32), entries)


def _is_choice(value: Any, space: Discrete | MultiDiscrete) -> bool:
    """Whether a value is a choice, of any type of integers."""
    array = np.asarray(value)
    return array.dtype.kind in "biu" and space.contains(array.astype(np.int64)[()])


def _joined(spaces: dict[Any, Space[Any]], kind: Any, called: str) -> _Part | None:
    """The parts of several spaces, one after another."""
    parts = {key: _part_of(space) for key, space in spaces.items()}
    known = {key: part for key, part in parts.items() if part is not None}
    if not spaces or len(known) < len(spaces):
        return None

    def entries(method: str, value: Any) -> NDArray[Any]:
        if not isinstance(value, kind):
            raise InvalidReturn(
                method, f"returned {described(value)} as observation; it should be {called}"
            )
        keys = set(value) if isinstance(value, dict) else set(range(len(value)))
        if keys != set(spaces):
            raise InvalidReturn(
                method,
                f"returned an observation with the entries {sorted(keys, key=str)}; its space has "
                f"{sorted(spaces, key=str)}",
            )
        return np.concatenate([part.entries(method, value[key]) for key, part in known.items()])

    return _Part(
        np.concatenate([part.low for part in known.values()]),
        np.concatenate([part.high for part in known.values()]),
        np.result_type(*(part.dtype for part in known.values())),
        entries,
    )
