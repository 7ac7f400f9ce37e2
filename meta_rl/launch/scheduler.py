"""Works through the runs of a sweep, a few at a time, each as a process of its own."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from meta_rl.launch.index import SweepRun
from meta_rl.launch.run_status import RunStatus, read_status
from meta_rl.launch.training_process import TrainingProcess
from meta_rl.runs.folder_lock import FolderLockError, why_locked
from meta_rl.runs.run_directory import is_finished

POLL_S = 0.2
_STATUS_S = 1.0
# A run saves between two meta-iterations and resumes bit for bit, so a long one may be cut short.
_STOP_S = 60.0

RunState = Literal["waiting", "running", "finished", "failed", "stopped"]


@dataclass
class WatchedRun:
    """A run and what is known about it.

    Attributes:
        run: which.
        num_meta_iterations: how many its settings ask for.
        state: what it does.
        status: how far it is.
        error: why it failed, in one sentence.
        obstacle: why it cannot start yet, in one sentence.
    """

    run: SweepRun
    num_meta_iterations: int
    state: RunState = "waiting"
    status: RunStatus = field(default_factory=RunStatus)
    error: str = ""
    obstacle: str = ""


def watch(run: SweepRun, num_meta_iterations: int) -> WatchedRun:
    """A run as it is before anything is started."""
    state: RunState = "finished" if is_finished(run.path) else "waiting"
    return WatchedRun(run, num_meta_iterations, state, read_status(run.path))


def work_through(
    watched: Sequence[WatchedRun],
    *,
    num_jobs: int,
    num_threads: int,
    sets_num_threads: bool,
    should_stop: Callable[[], bool],
    show: Callable[[], None],
) -> None:
    """Runs all that wait; their states say how it went.

    A run that fails does not keep the others from running. One that another process still writes,
    because a sweep was killed for example, waits for that. When asked to stop, the runs are asked
    to save and end, and those that wait are not started.

    Args:
        watched: the runs, of which those that wait are run, in this order.
        num_jobs: processes at a time.
        num_threads: threads of each.
        sets_num_threads: whether the settings say how many physics threads a run has.
        should_stop: asked often.
        show: called often, and after every change of a state.
    """
    waiting = [entry for entry in watched if entry.state == "waiting"]
    running: list[tuple[WatchedRun, TrainingProcess]] = []
    next_status = 0.0
    try:
        while (waiting or running) and not should_stop():
            for entry in _startable(waiting, num_jobs - len(running)):
                waiting.remove(entry)
                if process := _start(entry, num_threads, sets_num_threads):
                    running.append((entry, process))
            for entry, process in running:
                if process.poll() is not None:
                    _finish(entry, process)
            running = [(entry, process) for entry, process in running if process.poll() is None]
            if time.monotonic() >= next_status:
                next_status = time.monotonic() + _STATUS_S
                for entry, _ in running:
                    entry.status = read_status(entry.run.path)
            show()
            time.sleep(POLL_S)
    finally:
        _stop(running)
        show()


def _startable(waiting: Sequence[WatchedRun], num_wanted: int) -> list[WatchedRun]:
    """The first runs that wait and that no other process writes."""
    chosen: list[WatchedRun] = []
    for entry in waiting:
        if len(chosen) == num_wanted:
            break
        entry.obstacle = _obstacle(entry.run.path)
        if not entry.obstacle:
            chosen.append(entry)
    return chosen


def _obstacle(run_directory: Path) -> str:
    if not run_directory.exists():
        return ""
    try:
        return why_locked(run_directory)
    except FolderLockError:
        return ""  # its own process says so in its log


def _start(entry: WatchedRun, num_threads: int, sets_num_threads: bool) -> TrainingProcess | None:
    if is_finished(entry.run.path):  # by the process that wrote it meanwhile
        entry.state, entry.status = "finished", read_status(entry.run.path)
        return None
    try:
        process = TrainingProcess(
            entry.run, num_threads=num_threads, sets_num_threads=sets_num_threads
        )
    except OSError as error:
        entry.state, entry.error = "failed", str(error)
        return None
    entry.state = "running"
    return process


def _finish(entry: WatchedRun, process: TrainingProcess) -> None:
    entry.status = read_status(entry.run.path)
    if process.poll() == 0:
        entry.state = "finished"
    else:
        entry.state, entry.error = "failed", process.error()


def _stop(running: Sequence[tuple[WatchedRun, TrainingProcess]]) -> None:
    for _, process in running:
        process.stop()
    deadline = time.monotonic() + _STOP_S
    while any(process.poll() is None for _, process in running) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for entry, process in running:
        if process.poll() is None:
            process.kill()
        entry.state = "finished" if process.wait() == 0 else "stopped"
        entry.status = read_status(entry.run.path)
