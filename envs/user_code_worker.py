"""What every worker process does that runs a user's code: import it first, and end well."""

import logging
import pickle
from typing import Any

import gymnasium
from gymnasium.vector.utils import CloudpickleWrapper
from numpy.typing import NDArray

from envs.user_env_recipe import UserEnvRecipe
from envs.user_fault import UserFault, fault_from
from envs.worker_ends import arrange_ending, close_all

_log = logging.getLogger("envs")


def pickled_recipe(recipe: UserEnvRecipe) -> bytes:
    """A recipe by value, what a user has defined in the main module included."""
    return pickle.dumps(CloudpickleWrapper(recipe))


class UserCodeWorker(gymnasium.Env[Any, NDArray[Any]]):
    """The one environment that Gymnasium knows in a worker process.

    Gymnasium also makes one in the parent, to ask it for its spaces; there it runs no user's code.

    Attributes:
        recipe: how to make an environment, once `import_module` was called.
        made: the environments that were made.
        speaks_at_the_end: whether the first of such workers says what was wrong with closing.
    """

    recipe: UserEnvRecipe
    speaks_at_the_end = True

    def __init__(self, recipe: bytes, first_env: int = 0) -> None:
        """Keep the pickled recipe closed until the first call.

        Args:
            recipe: from `pickled_recipe`.
            first_env: index of the first environment that this worker makes.
        """
        self.made: list[gymnasium.Env[Any, Any]] = []
        self._pickled_recipe = recipe
        self._first_env = first_env
        self._is_worker = False

    def import_module(self) -> UserFault | None:
        """Import what the environment's id names; called before anything else."""
        self._is_worker = True
        arrange_ending()
        try:
            self.recipe = pickle.loads(self._pickled_recipe).fn
            self.recipe.registration()
        except BaseException as error:
            return fault_from(error, None, self._first_env)
        return None

    def close(self) -> None:
        """Close the environments and end what programs they have left."""
        if not self._is_worker:
            return
        problems = close_all(self.made)
        if problems and self._first_env == 0 and self.speaks_at_the_end:
            _log.warning(f"Warning: {self.recipe.env_id}: {problems[0]}.")
