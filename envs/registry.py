"""Environments by id: registering one of ours, and making any as a `TaskVectorEnv`."""

import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import gymnasium
from gymnasium.envs.registration import load_env_creator

from envs.batched_task_env import BatchedTaskEnv
from envs.closest_name import suggestion
from envs.findings import Finding
from envs.scout import Scout
from envs.screen_order import load_before_a_screen
from envs.single_task_env import SingleTaskEnv
from envs.task_env import Dynamics, TaskFamily, TaskVectorEnv
from envs.user_env import RegisteredAsBatchError, UserTaskVectorEnv
from envs.user_env_recipe import UserEnvRecipe, import_module

# (num_envs, num_threads, **options) -> the two parts of an environment.
Builder = Callable[..., tuple[Dynamics[Any], TaskFamily[Any]]]

_BUILDER_OF_ID: dict[str, str] = {}
_STEPS_IN_THREADS: set[str] = set()


def register_task_env(
    env_id: str, builder: str, max_episode_steps: int, *, steps_in_threads: bool
) -> None:
    """Register an environment for `gymnasium.make` and `gymnasium.make_vec`.

    Args:
        env_id: versioned id, "HalfCheetahVel-v0".
        builder: "module:function" of a `Builder`, loaded when the environment is first made, so
            that registering imports no simulator.
        max_episode_steps: time limit.
        steps_in_threads: whether its dynamics are stepped by a simulator's threads, outside
            Python's lock, so that two batches of them can be stepped at the same time.
    """
    gymnasium.register(
        env_id,
        entry_point=partial(_make_single, builder),
        vector_entry_point=partial(_make_batch, builder),
        max_episode_steps=max_episode_steps,
    )
    _BUILDER_OF_ID[env_id] = builder
    if steps_in_threads:
        _STEPS_IN_THREADS.add(env_id)


def steps_in_threads(env_id: str) -> bool:
    """Whether two batches of this environment can be stepped at the same time.

    False for an id that is not registered, and for users' environments, whose worker processes
    keep the machine busy as they are.
    """
    return env_id.rpartition(":")[2] in _STEPS_IN_THREADS


def make_task_vector_env(
    env_id: str,
    num_envs: int,
    *,
    max_episode_steps: int | None = None,
    num_threads: int = 0,
    timeout: float = 60.0,
    limit: str = "timeout",
    check: bool = False,
    options: Mapping[str, Any] | None = None,
    flatten_observations: bool = False,
) -> TaskVectorEnv:
    """Make `num_envs` environments that are stepped together.

    Args:
        env_id: a registered id; "module:Env-v0" imports the module first.
        num_envs: how many environments.
        max_episode_steps: time limit; None keeps the registration's, and so does a greater one in
            a user's environment.
        num_threads: threads of the simulator, or worker processes of a user's environment; 0
            for one per CPU.
        timeout: seconds that a worker process may take to answer one call, and to make one
            environment.
        limit: what sets this time limit, for messages.
        check: play a user's environment first, see `EnvCheck`, and log warnings.
        options: keyword arguments of the environment.
        flatten_observations: make a vector of a user's observations that are none.

    Raises:
        EnvironmentFault: a user's environment failed, hung, died or did not pass the check.
        ValueError: the id or an option is unknown, or the environment has no tasks.
    """
    options = dict(options or {})
    module, _, name = env_id.rpartition(":")
    if name not in _BUILDER_OF_ID:
        recipe = _user_recipe(env_id, max_episode_steps, options, flatten_observations)
        try:
            return UserTaskVectorEnv(
                recipe,
                num_envs,
                num_workers=num_threads,
                timeout=timeout,
                limit=limit,
                check=check,
            )
        except RegisteredAsBatchError:
            # Its module has been imported in a worker only.
            import_module(module)
    # Checked here too, since a name such as "num_threads" would collide below.
    _check_options(name, _load_builder(_BUILDER_OF_ID[name]), options)
    steps: dict[str, Any] = (
        {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    )
    env = gymnasium.make_vec(
        name,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        num_threads=num_threads,
        **steps,
        **options,
    )
    assert isinstance(env, TaskVectorEnv)
    return env


def make_task_env(
    env_id: str,
    *,
    max_episode_steps: int | None = None,
    frames: bool = False,
    options: Mapping[str, Any] | None = None,
    flatten_observations: bool = False,
) -> gymnasium.Env[Any, Any]:
    """Make one environment, in this process: `gymnasium.make` with our messages.

    Args:
        env_id: as for `make_task_vector_env`.
        max_episode_steps: time limit; None keeps the registration's.
        frames: render it as "rgb_array" if it says that it can be.
        options: keyword arguments of the environment.
        flatten_observations: make a vector of a user's observations that are none.

    Raises:
        ValueError: the id or an option is unknown, or the environment has no tasks.
    """
    options = dict(options or {})
    recipe = _user_recipe(env_id, max_episode_steps, options, flatten_observations)
    if recipe.env_id in _BUILDER_OF_ID:
        _check_options(recipe.env_id, _load_builder(_BUILDER_OF_ID[recipe.env_id]), options)
    env = recipe()
    if not frames or "rgb_array" not in env.metadata.get("render_modes", ()):
        return env
    env.close()
    return replace(recipe, options={**options, "render_mode": "rgb_array"})()


def check_task_env(
    env_id: str,
    *,
    max_episode_steps: int,
    timeout: float,
    limit: str = "timeout",
    options: Mapping[str, Any] | None = None,
    flatten_observations: bool = False,
) -> list[Finding]:
    """Play short episodes in a process of their own and say what training would trip over.

    Args:
        env_id: as for `make_task_vector_env`.
        max_episode_steps: longest episode.
        timeout: seconds that each call of the environment's may take.
        limit: what sets this time limit, for messages.
        options: keyword arguments of the environment.
        flatten_observations: make a vector of a user's observations that are none.

    Returns:
        Errors and warnings.

    Raises:
        ValueError: the environment cannot be made, or is not one with tasks.
        EnvironmentFault: it failed, hung or ended its process.
    """
    recipe = _user_recipe(env_id, max_episode_steps, options or {}, flatten_observations)
    with closing(Scout(recipe, timeout=timeout, limit=limit)) as scout:
        return scout.findings(max_episode_steps)


def _make_batch(
    builder: str,
    num_envs: int,
    max_episode_steps: int | None = None,
    num_threads: int = 0,
    **options: Any,
) -> BatchedTaskEnv[Any]:
    """Entry point of `gymnasium.make_vec`."""
    build = _load_builder(builder)
    _check_options(builder, build, options)
    dynamics, family = build(num_envs, num_threads, **options)
    return BatchedTaskEnv(dynamics, family, max_episode_steps)


def _make_single(builder: str, render_mode: str | None = None, **options: Any) -> SingleTaskEnv:
    """Entry point of `gymnasium.make`."""
    return SingleTaskEnv(_make_batch(builder, num_envs=1, num_threads=1, **options), render_mode)


def _load_builder(builder: str) -> Builder:
    return cast(Builder, load_env_creator(builder))


def _check_options(name: str, build: Builder, options: Collection[str]) -> None:
    """Refuse options that the builder does not have."""
    known = [p for p in inspect.signature(build).parameters if p not in ("num_envs", "num_threads")]
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{name} has no option {option!r}{suggestion(option, known)}; {has}.")


def _user_recipe(
    env_id: str,
    max_episode_steps: int | None,
    options: Mapping[str, Any],
    flatten_observations: bool,
) -> UserEnvRecipe:
    """How to make one environment; an id without a module has to be registered here.

    Raises:
        ValueError: it is not.
    """
    module, _, name = env_id.rpartition(":")
    if name not in _BUILDER_OF_ID:
        load_before_a_screen()  # a user's module or environment may open one at any time
    spec = None if module else gymnasium.registry.get(name)
    if not module and spec is None:
        known = suggestion(name, gymnasium.registry)
        hint = "" if known else "; one of your own is named module:Env-v0"
        raise ValueError(f"{name} is not a registered environment{known}{hint}.")
    if spec is not None and name in _BUILDER_OF_ID:
        # Ours have no end of their own, so that any limit may replace the registration's.
        spec = replace(spec, max_episode_steps=max_episode_steps or spec.max_episode_steps)
    return UserEnvRecipe(
        name, module or None, spec, max_episode_steps, dict(options), flatten_observations
    )
