"""Where modules are searched: a user's in the current folder, but never in place of ours."""

import sys
from importlib.util import find_spec
from pathlib import Path

from meta_rl.cli.exits import fail


def current_folder_last() -> None:
    """Lets ``env.id=my_module:MyEnv-v0`` find a module in the current folder, after all others.

    ``python -m`` puts the current folder first, where a folder ``envs`` would hide our package.
    """
    here = str(Path.cwd())
    sys.path[:] = [entry for entry in sys.path if entry not in ("", here)] + [here]


def say_foreign_envs() -> None:
    """Ends the command if ``envs`` is not the package that belongs to this one."""
    ours = Path(__file__).parents[2] / "envs"
    spec = find_spec("envs")
    found = (
        None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or []))
    )
    if found is None or ours not in Path(found).resolve().parents:
        fail(
            f"another `envs` ({found}) hides meta-rl's package {ours}; rename it, or take its "
            "folder out of PYTHONPATH"
        )
