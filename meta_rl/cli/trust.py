"""Whether a command may import the module that settings name for their environment."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from meta_rl.config import AnyConfig

Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Import the Python module that a run names for its environment, though the run was "
        "not started here.",
    ),
]


def allow_module(
    config: "AnyConfig", run: Path | None, overrides: Sequence[str], *, trust: bool
) -> None:
    """Lets a module be imported that the user has named, or that is of a run which is trusted.

    Args:
        config: the settings.
        run: the run directory that they are from; None for settings of the user's own.
        overrides: what the command line says.
        trust: the user trusts the run.

    Raises:
        UntrustedRunError: neither is the case.
    """
    from meta_rl.runs.trusted_runs import check_trusted, trust_run

    if run is None or any(override.startswith("env.id=") for override in overrides):
        return
    if trust:
        trust_run(run, config)
    else:
        check_trusted(run, config)
