"""How to make one environment of a user, in any process."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit

from envs.closest_name import suggestion
from envs.env_returns import ReturnChecks
from envs.flat_observation import FlatObservation, can_be_flat
from envs.policy_spaces import is_vector, space_problem
from envs.user_fault import EnvRefused, fault_from
from envs.wrapper_layers import outermost


@dataclass(frozen=True)
class UserEnvRecipe:
    """How to make one environment.

    Attributes:
        env_id: registered id, without a module.
        module: what to import first ("module:Env-v0"), or None.
        spec: the registration where there is no module to import it from, since a worker does
            not see what only the parent has registered; else None.
        max_episode_steps: time limit; None, or a greater one, keeps the registration's.
        options: keyword arguments of the environment.
        flatten_observations: make a vector of each observation that is none, see
            `FlatObservation`.
    """

    env_id: str
    module: str | None
    spec: EnvSpec | None
    max_episode_steps: int | None
    options: Mapping[str, Any]
    flatten_observations: bool = False

    def registration(self) -> EnvSpec:
        """The registration, after the module has been imported.

        Raises:
            EnvRefused: the module cannot be imported, or registers no such environment.
        """
        if self.module is not None:
            import_module(self.module)
        spec = self.spec or gymnasium.registry.get(self.env_id)
        if spec is None:
            raise EnvRefused(_unknown(self.env_id, self.module))
        return spec

    def __call__(self) -> gymnasium.Env[Any, Any]:
        """Make the environment.

        Raises:
            EnvRefused: it cannot be made, has no tasks or spaces that no policy fits.
        """
        spec = self.registration()
        try:
            # Without a time limit of Gymnasium's, whose wrapper fails at what we want to name.
            env = gymnasium.make(
                spec, max_episode_steps=-1, disable_env_checker=True, **self.options
            )
        except (Exception, SystemExit) as error:
            raise EnvRefused(
                f"{self.env_id} cannot be made with the options {dict(self.options)}: "
                f"{fault_from(error, None).sentence}"
            ) from error
        space = env.observation_space
        if self.flatten_observations and not is_vector(space) and can_be_flat(space):
            env = FlatObservation(env)
        problem = _missing_tasks(env) or space_problem(env)
        if problem:
            env.close()
            raise EnvRefused(f"{self.env_id}: {problem}")
        checked = ReturnChecks(env)
        limit = self.time_limit(spec)
        return checked if limit is None else TimeLimit(checked, limit)

    def time_limit(self, spec: EnvSpec) -> int | None:
        """The smaller one of the limit that is asked for and the registration's."""
        limits = (self.max_episode_steps, spec.max_episode_steps)
        return min((limit for limit in limits if limit is not None), default=None)


def import_module(name: str) -> None:
    """Import a user's module.

    Raises:
        EnvRefused: it cannot be found or raises something, SystemExit included.
    """
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise EnvRefused(
            f"the module {error.name} cannot be found{_hidden_by_ours(str(error.name))}"
        ) from error
    except (Exception, SystemExit) as error:
        raise EnvRefused(
            f"the module {name} cannot be imported: {fault_from(error, None).sentence}"
        ) from error


def _missing_tasks(env: gymnasium.Env[Any, Any]) -> str | None:
    """Which methods of an environment with tasks no layer has, or None."""
    missing = [name for name in ("sample_tasks", "set_task") if not callable(outermost(env, name))]
    if not missing:
        return None
    return (
        f"it is not an environment with tasks: its class {type(env.unwrapped).__name__} has no "
        f"method {' and no method '.join(missing)}, and no wrapper around it has"
    )


def _unknown(env_id: str, module: str | None) -> str:
    """A sentence about an id that the module does not register."""
    known = suggestion(env_id, gymnasium.registry)
    try:
        origin = None if module is None else getattr(find_spec(module), "origin", None)
    except (ImportError, ValueError):
        origin = None
    return f"{env_id} is not registered by {origin or module}{known}"


def _hidden_by_ours(name: str) -> str:
    """What to say where a user's package has the name of this one."""
    if name.split(".")[0] != "envs":
        return ""
    return (
        f": `envs` is the package {Path(__file__).parent} of this program, so a folder of yours "
        "needs another name"
    )
