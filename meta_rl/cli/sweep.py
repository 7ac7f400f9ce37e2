"""``meta-rl sweep``: trains every combination of some settings."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_rl.cli.exits import fail, one_sentence_errors, remember_signals
from meta_rl.cli.trust import Trust, allow_module, trust_before_loading

if TYPE_CHECKING:
    from rich.console import Console

    from meta_rl.launch.index import SweepRun


def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG [section.key=values ...]",
            help="A preset's name or the path of a YAML file, then settings, with any number of "
            "values: run.seed=1..5 adaptation.inner_step_size=0.05,0.1",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Runs at a time; each has its share of the CPUs.")
    ] = 1,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="FOLDER",
            help="Where the runs go; without it, a folder in sweeps/ that belongs to these "
            "settings.",
            show_default=False,
        ),
    ] = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Submit the runs as a job array instead.")
    ] = False,
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="For sbatch, such as partition=gpu or time=240 (minutes). May be repeated.",
            show_default=False,
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Train every combination of settings, each as a process of its own.

    Called again, it skips the runs that are finished and resumes the others. In the end it shows,
    for each setting, the interquartile mean over seeds of what the kept iteration reaches on the
    test tasks.
    """
    with one_sentence_errors():
        from meta_rl.cli.config_argument import split_arguments
        from meta_rl.launch.plan import make_plan
        from meta_rl.runs.trusted_runs import run_of_file

        name, settings = split_arguments("sweep", arguments or [])
        trust_before_loading(name, trust=trust)
        plan = make_plan(name, settings)
        allow_module(plan.runs[0].config, run_of_file(Path(name)), settings, trust=trust)
    if slurm_option and not slurm:
        fail("--slurm-option is for --slurm")
    path = folder or plan.default_path

    from meta_rl.launch.index import create_sweep
    from meta_rl.launch.progress import SweepProgress, summary
    from meta_rl.launch.scheduler import watch, work_through
    from meta_rl.launch.slurm import parse_options
    from meta_rl.runs.folder_lock import lock_folder
    from meta_rl.runs.plain_line import plain_console
    from meta_rl.runtime.cpus import num_usable_cpus

    console = plain_console()
    with remember_signals() as signals, one_sentence_errors():
        options = parse_options(slurm_option or []) if slurm else {}
        runs = create_sweep(path, plan)
        with lock_folder(path):
            watched = [
                watch(run, planned.config.run.meta_iterations)
                for run, planned in zip(runs, plan.runs, strict=True)
            ]
            progress = SweepProgress(console, watched)
            progress.note(f"{summary(watched)}, in {path}")
            if slurm:
                waiting = [entry.run for entry in watched if entry.state == "waiting"]
                _submit(path, waiting, options, plan.sets_num_threads, progress.note)
            else:
                with progress:
                    work_through(
                        watched,
                        num_jobs=jobs,
                        num_threads=max(1, num_usable_cpus() // min(jobs, len(watched))),
                        sets_num_threads=plan.sets_num_threads,
                        should_stop=lambda: bool(signals),
                        show=progress.show,
                    )
        _print_table(console, [entry.run for entry in watched if entry.state == "finished"])
    progress.note(f"Sweep directory: {path}")
    if signals:
        progress.note(f"Stopped. Go on with: {shlex.join(['meta-rl', *sys.argv[1:]])}")
        sys.exit(128 + signals[0])
    failed = [entry.run for entry in watched if entry.state == "failed"]
    if failed:
        logs = ", ".join(str(run.log_file) for run in failed)
        fail(f"{len(failed)} of {len(watched)} runs failed, see {logs}")


def _print_table(console: "Console", runs: Sequence["SweepRun"]) -> None:
    # Here, because it needs torch, which would slow down the start and fill memory meanwhile.
    from meta_rl.reporting.sweep_table import print_sweep_table

    print_sweep_table(console, runs)


def _submit(
    path: Path,
    runs: Sequence["SweepRun"],
    options: Mapping[str, Any],
    sets_num_threads: bool,
    note: Callable[[str], None],
) -> None:
    from meta_rl.launch.slurm import submit, submitted_jobs

    submitted = submitted_jobs(path, runs)
    for name, sentence in submitted.items():
        note(f"{name}: {sentence}")
    others = [run for run in runs if run.name not in submitted]
    if others:
        jobs = submit(path, others, options, sets_num_threads=sets_num_threads)
        for run, job in zip(others, jobs, strict=True):
            note(f"{run.name}: submitted as job {job.job_id}")
    if runs:
        note("Called again, this command shows what has become of them.")
