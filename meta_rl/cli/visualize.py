"""``meta-rl visualize``: pictures and films of adapted policies."""

from pathlib import Path
from typing import Annotated

import typer

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.cli.offscreen import prefer_egl
from meta_rl.cli.options import Device, Seed, Steps, given_settings
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
    """Draw and film what a policy or a network does before adapting and after each step.

    What is not given is as the run's settings have it.
    """
    prefer_egl()
    with stop_on_signals(), one_sentence_errors():
        # Here, so that MuJoCo is imported after that.
        from meta_rl.evaluation.evaluation_job import evaluation_folder, load_groups, output_folder
        from meta_rl.evaluation.packaged_runs import find_run
        from meta_rl.reporting.report.run_record import run_dir_of
        from meta_rl.reporting.visualization import Choice, Films, prepared_visualization
        from meta_rl.reporting.wandb_films import send_films
        from meta_rl.runs.atomic_files import check_unused
        from meta_rl.runs.plain_line import plain_console, printer

        note = printer(plain_console())
        settings = given_settings(
            {
                "evaluation.num_adaptation_steps": steps,
                "evaluation.seed": seed,
                "run.device": device,
            }
        )
        run, *others = map(find_run, [run, *(beside or [])])
        loaded = load_groups([run, *others], [], settings, trust=trust)
        models = [model for group in loaded for model in group.models]
        for warning in (warning for model in models for warning in model.warnings):
            note(f"Warning: {warning}")
        folder = out or evaluation_folder([run, *others], "visualize")
        check_unused(folder)
        choice = Choice(tasks, num_tasks, Films(mp4=video, gif=gif))
        draw = prepared_visualization(models, choice, note)
        with output_folder(out, folder) as made:
            draw(made.temporary)
            files = sorted(path.name for path in made.temporary.iterdir())
        send_films(run_dir_of(run), made.path, note)
        note(f"Pictures: {made.path}/ {', '.join(files)}")
