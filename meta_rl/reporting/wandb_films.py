"""Films of a finished run at Weights & Biases, where its numbers are."""

from collections.abc import Callable
from pathlib import Path

from meta_rl.config import load_config
from meta_rl.runs.run_directory import is_finished
from meta_rl.runs.sinks.wandb_sink import WandbSink


def send_films(run_directory: Path, folder: Path, note: Callable[[str], None]) -> None:
    """Adds films to the run at wandb, if its settings send its metrics there.

    Args:
        run_directory: whose films they are; nothing is sent where it is no run directory.
        folder: of the films, ``*.mp4``.
        note: takes a line for the user.

    Raises:
        ConfigError: the settings of the run cannot be read.
    """
    films = {file.stem: file for file in sorted(folder.glob("*.mp4"))}
    settings = run_directory / "config.yaml"
    if not films or not settings.is_file():  # of a checkpoint that was copied somewhere else
        return
    config = load_config(str(settings))
    if config.run.wandb == "disabled":
        return
    if not is_finished(run_directory):
        # Two processes at one run of wandb would get in each other's way.
        note("The films are not sent to wandb, because the run is not finished.")
        return
    sink = WandbSink(run_directory, config, note)
    sink.films(films)
    sink.close()
