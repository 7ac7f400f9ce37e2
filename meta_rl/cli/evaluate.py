"""``meta-rl evaluate``: adapts finished runs to test tasks, references beside them."""

from pathlib import Path
from typing import Annotated

import typer

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.cli.options import Device, NumTasks, Reference, Runs, Seed, Steps, given_settings
from meta_rl.cli.trust import Trust


def evaluate(
    runs: Runs,
    num_tasks: NumTasks = None,
    steps: Steps = None,
    episodes: Annotated[
        int | None, typer.Option(help="Episodes per task and step.", show_default=False)
    ] = None,
    step_size: Annotated[
        float | None, typer.Option(help="Size of the first step.", show_default=False)
    ] = None,
    later_step_size_ratio: Annotated[
        float | None,
        typer.Option(help="Size of later steps, as a multiple of it.", show_default=False),
    ] = None,
    seed: Seed = None,
    device: Device = None,
    grid: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="An even grid over the task range in place of drawn tasks, N values of each "
            "task parameter.",
            show_default=False,
        ),
    ] = None,
    tasks_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CSV of tasks in place of drawn ones; its header names the task parameters.",
            show_default=False,
        ),
    ] = None,
    reference: Reference = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A new folder; without it, evaluation-TIMESTAMP in the run directory, or here "
            "for several runs.",
            show_default=False,
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Adapt finished runs to test tasks, step by step.

    What is not given is as the first run's settings have it. Several runs of reinforcement learning
    are seeds of one setting; several on supervised tasks are shown side by side.
    """
    with stop_on_signals(), one_sentence_errors():
        # Here, so that a mistake in the options is reported without waiting for torch.
        from meta_rl.evaluation.comparison_files import write_comparison
        from meta_rl.evaluation.evaluation_job import (
            TaskChoice,
            compare,
            evaluation_folder,
            load_groups,
            output_folder,
        )
        from meta_rl.evaluation.packaged_runs import find_run
        from meta_rl.launch.index import run_directories
        from meta_rl.reporting.adaptation_plot import adaptation_figure, save_figure
        from meta_rl.reporting.adaptation_tables import print_comparison
        from meta_rl.runs.atomic_files import check_unused
        from meta_rl.runs.plain_line import plain_console, printer

        console = plain_console()
        settings = given_settings(
            {
                "evaluation.num_tasks": num_tasks,
                "evaluation.num_adaptation_steps": steps,
                "evaluation.episodes_per_task": episodes,
                "evaluation.seed": seed,
                "adaptation.inner_step_size": step_size,
                "adaptation.later_step_size_ratio": later_step_size_ratio,
                "run.device": device,
            }
        )
        runs = [find_run(run) for run in runs]
        directories = [path for run in runs for path in run_directories(run)]
        loaded = load_groups(directories, reference or [], settings, trust=trust)
        folder = out or evaluation_folder(runs)
        check_unused(folder)
        choice = TaskChoice(num_tasks, grid, tasks_file)
        comparison = compare(loaded, choice, printer(console))
        with output_folder(out, folder) as made:
            write_comparison(made.temporary, comparison)
            figure = adaptation_figure(comparison.groups, comparison.title)
            for ending in ("png", "svg"):
                save_figure(figure, made.temporary / f"curve.{ending}")
        print_comparison(console, comparison)
        printer(console)(f"Evaluation: {made.path}")
