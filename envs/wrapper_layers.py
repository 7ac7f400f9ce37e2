"""The layers of a wrapped environment, from the outside in."""

from collections.abc import Iterator
from typing import Any

import gymnasium


def layers(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    """The wrappers, outermost first, and the environment below them."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env
    yield env


def outermost(env: gymnasium.Env[Any, Any], name: str, default: Any = None) -> Any:
    """The attribute of the outermost layer that has it, else `default`.

    So that a wrapper may add tasks to an environment that has none, or narrow those it has.
    """
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else default
