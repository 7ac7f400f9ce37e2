"""Whether a command may import the modules that settings name."""

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
        help="Import the Python modules that a run names for its environment and its algorithm, "
        "though the run was not started here.",
    ),
]


def trust_before_loading(config: str, *, trust: bool) -> None:
    """Lets a run's algorithm be imported, which is needed to know what its settings are.

    Args:
        config: the file that settings are loaded from, or a preset.
        trust: the user trusts the run.
    """
    from meta_rl.runs.trusted_runs import run_of_file, trust_files

    file = Path(config)
    if trust and file.is_file() and run_of_file(file) is not None:
        trust_files(file)


def allow_module(
    config: "AnyConfig", run: Path | None, overrides: Sequence[str], *, trust: bool
) -> None:
    """Lets an environment's module be imported that the user has named, or a trusted run.

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
