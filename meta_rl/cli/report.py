"""``meta-rl report``: one HTML file about finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.cli.options import Device, NumTasks, Reference, Runs, Steps, given_settings
from meta_rl.cli.trust import Trust


def report(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to; without it, report.html in the run directory, or here for several "
            "runs.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
    reference: Reference = None,
    num_tasks: NumTasks = None,
    steps: Steps = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Write one self-contained HTML file: curves, tasks, and what the adapted models do.

    What is not given is as the first run's settings have it.
    """
    with stop_on_signals(), one_sentence_errors():
        # Here, so that a mistake in the options is reported without waiting for torch.
        from meta_rl.evaluation.evaluation_job import TaskChoice, load_groups
        from meta_rl.evaluation.packaged_runs import find_run
        from meta_rl.launch.index import run_directories
        from meta_rl.reporting.report.job import make_report, report_path, write_report
        from meta_rl.runs.plain_line import plain_console, printer

        settings = given_settings(
            {
                "evaluation.num_tasks": num_tasks,
                "evaluation.num_adaptation_steps": steps,
                "run.device": device,
            }
        )
        runs = [find_run(run) for run in runs]
        directories = [path for run in runs for path in run_directories(run)]
        loaded = load_groups(directories, reference or [], settings, trust=trust)
        path = report_path(runs, out, force=force)
        page = make_report(loaded, TaskChoice(num_tasks), printer(plain_console(stderr=True)))
        write_report(path, page, force=force)
    typer.echo(path)
