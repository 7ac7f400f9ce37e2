"""``meta-rl visualize``: pictures and films of adapted policies."""

from pathlib import Path
from typing import Annotated

import typer

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.cli.offscreen import prefer_egl
from meta_rl.cli.options import Device, Seed, Steps
from meta_rl.cli.trust import Trust


def visualize(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run directory, a checkpoint or pretrained/NAME."),
    ],
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Another run on supervised tasks, drawn beside it. May be repeated.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="VALUES",
            help="Tasks, separated by semicolons, the parameters of each by commas: '0.5;1.5' or "
            "'0.3,-0.2;0.1,0.4'.",
            show_default=False,
        ),
    ] = None,
    num_tasks: Annotated[
        int | None,
        typer.Option(help="In place of --tasks, so many test tasks; 4 by default."),
    ] = None,
    steps: Steps = None,
    seed: Seed = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A new folder; without it, visualize-TIMESTAMP in the run directory, or "
            "here for pretrained/NAME.",
            show_default=False,
        ),
    ] = None,
    video: Annotated[bool, typer.Option(help="Whether films (mp4) are made.")] = True,
    gif: Annotated[bool, typer.Option("--gif", help="The films as small GIFs, too.")] = False,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Draw and film what a policy does before adapting and after each step.

    What is not given is as the run's settings have it.
    """
    prefer_egl()
    # Here, so that MuJoCo is imported after that.
    from meta_rl.cli.supervised_commands import refuse_options, visualize_supervised
    from meta_rl.config import ConfigError
    from meta_rl.evaluation.comparison import ComparisonError, with_settings
    from meta_rl.evaluation.evaluation_job import evaluation_folder, output_folder
    from meta_rl.evaluation.held_out_tasks import TaskSelectionError
    from meta_rl.evaluation.packaged_runs import find_run
    from meta_rl.evaluation.saved_policy import load_policy
    from meta_rl.evaluation.supervised_evaluation import is_supervised
    from meta_rl.reporting.report.run_record import run_dir_of
    from meta_rl.reporting.visualization import Films, chosen_tasks
    from meta_rl.reporting.visualization import visualize as write_visualization
    from meta_rl.reporting.wandb_films import send_films
    from meta_rl.rollouts.environments import EnvironmentFault
    from meta_rl.rollouts.replay import RenderingError
    from meta_rl.rollouts.sampler import NumericalError
    from meta_rl.runs.atomic_files import NewFolderError, check_unused
    from meta_rl.runs.checkpoint import CheckpointError
    from meta_rl.runs.plain_line import plain_console, print_line
    from meta_rl.runs.trusted_runs import UntrustedRunError
    from meta_rl.runtime.device import DeviceError
    from meta_rl.tasks.image_classes import DatasetError

    console = plain_console()

    def note(text: str) -> None:
        print_line(console, text)

    settings = {
        "evaluation.num_adaptation_steps": steps,
        "evaluation.seed": seed,
        "run.device": device,
    }
    with (
        stop_on_signals(),
        one_sentence_errors(
            *(CheckpointError, ComparisonError, ConfigError, DatasetError, DeviceError),
            *(EnvironmentFault, NewFolderError, NumericalError),
            *(OSError, RenderingError, TaskSelectionError, UntrustedRunError),
        ),
    ):
        changed = {name: value for name, value in settings.items() if value is not None}
        run = find_run(run)
        if is_supervised(run):
            refuse_options({"--tasks": tasks, "--gif": gif})
            visualize_supervised([run, *map(find_run, beside or [])], changed, num_tasks, out, note)
            return
        if beside:
            raise ConfigError("--beside is for runs on supervised tasks, which this is not")
        saved = with_settings(load_policy(run, trust=trust), changed, "command line")
        for warning in saved.warnings:
            note(f"Warning: {warning}")
        folder = out or evaluation_folder([run], "visualize")
        check_unused(folder)
        shown = chosen_tasks(saved, tasks, num_tasks, note)
        with output_folder(out, folder) as made:
            write_visualization(saved, shown, made.temporary, Films(mp4=video, gif=gif), note)
            files = sorted(path.name for path in made.temporary.iterdir())
        send_films(run_dir_of(run), made.path, note)
    note(f"Pictures: {made.path}/ {', '.join(files)}")
