"""What `reset` and `step` of a user's environment return, checked and brought to one form."""

from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from envs.readable import described
from envs.user_fault import InvalidReturn

_NUMBERS = "biuf"  # NumPy's kinds: booleans, integers, unsigned integers, floats


class ReturnChecks(gymnasium.Wrapper[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Refuses by name whatever is not of Gymnasium's form, or would lose something in a cast.

    Numbers and flags in arrays of one entry are taken. What comes out: an array of the space's
    shape and type, a float, two booleans and a mapping whose `diverged` and `success`, where
    they are there, are booleans.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Wrap an environment whose observation space is a Box."""
        super().__init__(env)
        assert isinstance(env.observation_space, Box)
        self._space = env.observation_space
        self._dtype, self._shape = self._space.dtype, self._space.shape

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode.

        Raises:
            InvalidReturn: what the environment returned is of another form.
        """
        result: Any = self.env.reset(seed=seed, options=options)
        if not isinstance(result, tuple) or len(result) != 2:
            raise InvalidReturn(
                "reset", f"returned {described(result)}; it should return (observation, info)"
            )
        observation, info = result
        return self._observation("reset", observation), _info("reset", info)

    def step(
        self, action: NDArray[Any]
    ) -> tuple[NDArray[Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step.

        Raises:
            InvalidReturn: what the environment returned is of another form.
        """
        result: Any = self.env.step(action)
        if not isinstance(result, tuple) or len(result) != 5:
            what = described(result)
            if isinstance(result, tuple | list):
                what = f"{len(result)} values"
                what += " in a list" if isinstance(result, list) else ""
            raise InvalidReturn(
                "step",
                f"returned {what}; Gymnasium asks for a tuple of 5: "
                "(observation, reward, terminated, truncated, info)",
            )
        observation, reward, terminated, truncated, info = result
        return (
            self._observation("step", observation),
            reward if type(reward) is float else _reward(reward),
            terminated if type(terminated) is bool else _flag("terminated", terminated),
            truncated if type(truncated) is bool else _flag("truncated", truncated),
            _info("step", info),
        )

    def _observation(self, method: str, observation: Any) -> NDArray[Any]:
        if (
            type(observation) is np.ndarray
            and observation.dtype == self._dtype
            and observation.shape == self._shape
        ):
            return observation
        return converted_observation(method, observation, self._space)


def converted_observation(method: str, observation: Any, space: Box) -> NDArray[Any]:
    """An array of the space's type, of which nothing is lost."""
    array = _as_array(observation)
    if array is None or array.dtype.kind not in _NUMBERS:
        raise InvalidReturn(
            method,
            f"returned {described(observation)} as observation; it should be an array of shape "
            f"{space.shape} and type {space.dtype}",
        )
    if array.shape != space.shape:
        raise InvalidReturn(
            method,
            f"returned an observation of shape {array.shape}; its space has shape {space.shape}",
        )
    assert space.dtype is not None
    if array.dtype.kind == "f" and space.dtype.kind != "f":
        raise InvalidReturn(
            method,
            f"returned an observation of type {array.dtype}, but its space has type "
            f"{space.dtype}, which would cut fractions off; both should be the same",
        )
    with np.errstate(over="ignore"):  # It becomes infinite, and that is reported.
        converted = array.astype(space.dtype)
    if space.dtype.kind in "iu" and not np.array_equal(converted, array):
        raise InvalidReturn(
            method,
            f"returned an observation of type {array.dtype} with entries from {array.min()} to "
            f"{array.max()}, which its space's type {space.dtype} cannot hold",
        )
    return converted


def _reward(reward: Any) -> float:
    array = _as_array(reward)
    if array is None or array.dtype.kind not in _NUMBERS or array.size != 1:
        raise InvalidReturn(
            "step", f"returned {described(reward)} as reward; it should be one number"
        )
    return float(array.reshape(()))


def _flag(name: str, flag: Any) -> bool:
    array = _as_array(flag)
    is_flag = array is not None and array.size == 1 and array.dtype.kind in "biu"
    if array is None or not is_flag or array.item() not in (0, 1):
        raise InvalidReturn(
            "step", f"returned {described(flag)} as {name}; it should be True or False"
        )
    return bool(array.item())


def _info(method: str, info: Any) -> dict[str, Any]:
    if type(info) is dict and not info:
        return info
    if not isinstance(info, Mapping):
        raise InvalidReturn(
            method, f"returned {described(info)} as info; it should be a dictionary"
        )
    marks = {}
    for name in ("diverged", "success"):
        value = info.get(name)
        if value is None or type(value) is bool:
            continue
        array = _as_array(value)
        if array is None or array.dtype.kind not in _NUMBERS or array.size != 1:
            raise InvalidReturn(
                method, f"returned {described(value)} as info[{name!r}]; it should be True or False"
            )
        marks[name] = bool(array.item())
    return {**info, **marks} if marks else info  # type: ignore[return-value]


def _as_array(value: Any) -> NDArray[Any] | None:
    """The value as an array, or None where it cannot be one."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
