"""The commands. Nothing heavy is imported before a command needs it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    name="meta-rl",
    help="Meta-train policies that adapt to a new task within a few episodes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Meta-train policies that adapt to a new task within a few episodes."""


@app.command()
def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG [section.key=value ...]",
            help="A preset's name or the path of a YAML file, then settings to change. "
            "With --resume, only settings.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Continue this run directory instead of starting one."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved settings and stop.")
    ] = False,
) -> None:
    """Meta-train a policy, or continue a run."""
    from meta_rl.config import ConfigError, config_to_yaml, load_config, preset_names

    arguments = arguments or []
    with _one_sentence_errors(ConfigError):
        if resume is not None:
            name, overrides = str(resume / "config.yaml"), arguments
        elif arguments and "=" not in arguments[0]:
            name, *overrides = arguments
        else:
            presets = ", ".join(preset_names())
            raise ConfigError(f"train needs a CONFIG first: {presets}, or the path of a YAML file")
        if resume is not None and not Path(name).is_file():
            raise ConfigError(f"{resume} is not a run directory: it holds no config.yaml")
        config = load_config(name, overrides)
        if resume is not None and config.run.dir is not None:
            raise ConfigError(f"run.dir cannot be changed: --resume goes on in {resume}")
    if print_config:
        typer.echo(config_to_yaml(config), nl=False)
        return

    # Here, so that a mistake in the settings is reported without waiting for torch.
    from rich.console import Console

    from meta_rl.rollouts.environments import EnvironmentFault
    from meta_rl.rollouts.sampler import NumericalError
    from meta_rl.training.checkpoint import CheckpointError
    from meta_rl.training.device import DeviceError
    from meta_rl.training.jobs import resume_run, start_run
    from meta_rl.training.progress import print_adaptation_curves
    from meta_rl.training.run_directory import RunDirectoryError

    console = Console()
    with (
        _stop_on_signals(),
        _one_sentence_errors(
            *(CheckpointError, ConfigError, DeviceError, EnvironmentFault),
            *(NumericalError, OSError, RunDirectoryError),
        ),
    ):
        if resume is not None:
            result = resume_run(resume, config, console)
        else:
            result = start_run(config, Path(name).stem, console)
    print_adaptation_curves(console, result.curves)
    console.print(f"Run directory: {result.path}", soft_wrap=True, highlight=False, markup=False)


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM.

    Attributes:
        exit_status: 128 plus the signal's number, as shells have it.
    """

    def __init__(self, signal_number: int) -> None:
        """Keeps the exit status."""
        super().__init__()
        self.exit_status = 128 + signal_number


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Turns the first Ctrl-C or SIGTERM into an exception; further ones are ignored.

    The exception unwinds the training loop, which saves the last completed iteration.
    """
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop(signal_number: int, frame: FrameType | None) -> None:
        del frame
        for handled in signals:
            signal.signal(handled, signal.SIG_IGN)
        raise Stopped(signal_number)

    for handled in signals:
        signal.signal(handled, stop)
    yield


@contextmanager
def _one_sentence_errors(*expected: type[Exception]) -> Iterator[None]:
    """Ends the command with one sentence, and no traceback, for errors that a user can mend."""
    try:
        yield
    except Stopped as stopped:
        sys.exit(stopped.exit_status)
    except expected as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"Error: {message}", err=True)
    sys.exit(1)


def main() -> None:
    """Entry point of ``meta-rl`` and ``python -m meta_rl``."""
    # As ``python -m`` does, so that env.id=my_module:MyEnv-v0 finds a module in this folder.
    if not {"", str(Path.cwd())}.intersection(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    app()
