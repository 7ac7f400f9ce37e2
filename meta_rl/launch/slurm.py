"""The runs of a sweep as a job array on a Slurm cluster, through submitit."""

import json
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from meta_rl.config.problems import did_you_mean
from meta_rl.launch.index import SweepError, SweepRun
from meta_rl.launch.training_process import TrainingProcess
from meta_rl.reading import FileError, read_json
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.run_directory import is_finished
from meta_rl.runtime.cpus import num_usable_cpus

# A run that is longer than a job may be resumes in the next one, as often as it takes.
_MAX_NUM_TIMEOUTS = 1000
_POLL_S = 0.2
_JOB_IDS = "jobs.json"


class TrainingJob:
    """One run as a job: submitit pickles it, and asks for a checkpoint when its time is over."""

    def __init__(self, run: SweepRun, *, sets_num_threads: bool) -> None:
        """Takes the run, with absolute paths: a job may start in another folder."""
        self._run = run
        self._sets_num_threads = sets_num_threads
        self._pid: int | None = None

    def __call__(self) -> None:
        """Starts or resumes the run, and waits for its end.

        Raises:
            RuntimeError: with the sentence that the run ended with.
        """
        if is_finished(self._run.path):
            return
        process = TrainingProcess(
            self._run, num_threads=num_usable_cpus(), sets_num_threads=self._sets_num_threads
        )
        self._pid = process.pid
        while process.poll() is None:
            time.sleep(_POLL_S)
        if process.poll() != 0:
            raise RuntimeError(f"{self._run.name} failed: {process.error()}")

    def checkpoint(self) -> Any:
        """Lets the run save, and says how the next job goes on: submitit calls it on its signal."""
        from submitit.helpers import DelayedSubmission

        if self._pid is not None:
            _stop(self._pid)
        return DelayedSubmission(TrainingJob(self._run, sets_num_threads=self._sets_num_threads))


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Reads ``KEY=VALUE``, whole numbers as such.

    Raises:
        SweepError: an option has another form or is not known, there is no time limit, or submitit
            or Slurm is missing.
    """
    executor = _import_submitit().SlurmExecutor
    known = executor._valid_parameters()
    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.isidentifier() or not value:
            raise SweepError(f"--slurm-option {option} should have the form key=value")
        if key not in known:
            raise SweepError(
                f"{key} is not an option for Slurm{did_you_mean(key, known)} "
                f"[options: {', '.join(sorted(known))}]"
            )
        is_number = value.isascii() and value.isdecimal() and len(value) < 19
        parsed[key] = int(value) if is_number else value
    if not isinstance(parsed.get("time"), int):
        raise SweepError("--slurm needs --slurm-option time=MINUTES, the longest that a job takes")
    if executor.affinity() <= 0:
        raise SweepError("--slurm needs a Slurm cluster, and there is no srun here")
    return parsed


def submitted_jobs(sweep_path: Path, runs: Sequence[SweepRun]) -> dict[str, str]:
    """The runs that wait or work as jobs of an earlier submission.

    Args:
        sweep_path: the sweep's folder.
        runs: unfinished ones.

    Returns:
        A sentence about each job, by the name of its run.

    Raises:
        SweepError: submitit is missing.
    """
    job_ids = _read_job_ids(sweep_path)
    ours = {run.name: job_ids[run.name] for run in runs if run.name in job_ids}
    if not ours:
        return {}
    job_class = _import_submitit().SlurmJob
    jobs = {name: job_class(_job_folder(sweep_path), job_id) for name, job_id in ours.items()}
    watcher = job_class.watcher
    watcher.update()  # once for all
    return {
        name: f"job {job.job_id} is {watcher.get_state(job.job_id, mode='cache')}"
        for name, job in jobs.items()
        if not watcher.is_done(job.job_id, mode="cache")
    }


def submit(
    sweep_path: Path,
    runs: Sequence[SweepRun],
    options: Mapping[str, Any],
    *,
    sets_num_threads: bool,
    cluster: str = "slurm",
) -> list[Any]:
    """Submits runs as an array of jobs.

    Args:
        sweep_path: the sweep's folder.
        runs: at least one.
        options: of sbatch, by name.
        sets_num_threads: whether the settings say how many physics threads a run has.
        cluster: ``slurm``, or another one that submitit knows.

    Returns:
        submitit's jobs, one per run.

    Raises:
        SweepError: submitit is missing, or it or the cluster refuses.
    """
    submitit = _import_submitit()
    folder = _job_folder(sweep_path)
    tasks = [
        TrainingJob(
            replace(run, sweep_path=sweep_path.absolute()), sets_num_threads=sets_num_threads
        )
        for run in runs
    ]
    try:
        executor = submitit.AutoExecutor(
            folder, cluster=cluster, slurm_max_num_timeout=_MAX_NUM_TIMEOUTS
        )
        executor.update_parameters(
            name=sweep_path.absolute().name,
            **{f"slurm_{name}": value for name, value in options.items()},
        )
        with executor.batch():
            jobs = [executor.submit(task) for task in tasks]
    except Exception as error:  # whatever submitit and sbatch have to say
        raise SweepError(f"the jobs cannot be submitted: {_first_line(error)}") from None
    ids = {run.name: job.job_id for run, job in zip(runs, jobs, strict=True)}
    job_ids = _read_job_ids(sweep_path) | ids
    write_text_atomically(folder / _JOB_IDS, json.dumps(job_ids, indent=2) + "\n")
    return jobs


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise SweepError("--slurm needs submitit: pip install 'meta-rl[slurm]'") from None
    return submitit


def _job_folder(sweep_path: Path) -> Path:
    return sweep_path.absolute() / "slurm"


def _read_job_ids(sweep_path: Path) -> dict[str, str]:
    path = _job_folder(sweep_path) / _JOB_IDS
    if not path.exists():
        return {}
    try:
        job_ids = {name: str(job) for name, job in read_json(path).items()}
    except FileError:
        job_ids = {"": ""}
    # They become arguments of Slurm's commands.
    if not all(re.fullmatch(r"[0-9A-Za-z_]{1,50}", job) for job in job_ids.values()):
        raise SweepError(f"{path} is damaged; without it, unfinished runs are submitted")
    return job_ids


def _stop(pid: int) -> None:
    """Asks a process to save and end, and waits for it.

    Not through its Popen object, which the code that a signal interrupts may be using.
    """
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
