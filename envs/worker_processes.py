"""Starting and stopping worker processes so that nothing is inherited or left behind."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from envs.worker_ends import SIGNALS_FOR_THE_PARENT, end_programs

_THREADS_VARIABLE = "OMP_NUM_THREADS"


@contextmanager
def lean_spawning() -> Iterator[None]:
    """Within this context, spawned processes start with little.

    A spawned process runs the parent's main module again, which for a trainer means importing
    torch in every worker, and for a script without a `__main__` guard means running it again;
    here the main module is hidden. (What a user defines there travels by value, through
    cloudpickle.) Numerical libraries get one thread each, since the workers share the CPUs;
    a value that the user has set stays. Ctrl-C, SIGTERM and hang-ups wait until the worker calls
    `arrange_ending`: the parent decides what becomes of its workers.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name, None) for name in ("__spec__", "__file__")}
    set_threads = _THREADS_VARIABLE not in os.environ
    # A blocked signal stays blocked in child processes, from their very first instruction.
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_FOR_THE_PARENT)
    try:
        # Python's own helper process is not to end with the terminal either. It is started by the
        # first spawn otherwise, which would unblock the signals again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_FOR_THE_PARENT)
        for name in hidden:
            setattr(main, name, None)
        if set_threads:
            os.environ[_THREADS_VARIABLE] = "1"
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        for name, value in hidden.items():
            setattr(main, name, value)
        if set_threads:
            del os.environ[_THREADS_VARIABLE]


@contextmanager
def frames_cleared() -> Iterator[None]:
    """Within this context, an exception leaves nothing behind of what was being sent.

    The calls that it ended hold a pickle's buffer as long as the exception lives, often in a
    circle. Where the garbage collector frees such a buffer, Python 3.12 ends by a segmentation
    fault and 3.13 prints an error, because it frees the BytesIO below it first.
    """
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


def dead_workers(processes: Sequence[BaseProcess], patience: float) -> list[int]:
    """Indices of processes that have ended, waiting up to `patience` seconds for the first."""
    ended = wait([process.sentinel for process in processes], timeout=patience)
    return [
        i
        for i, process in enumerate(processes)
        # A forked child of the worker holds its sentinel open, but not its exit code back.
        if process.sentinel in ended or process.exitcode is not None
    ]


def stop_workers(processes: Sequence[BaseProcess]) -> None:
    """End all processes, which do not listen to SIGTERM, and the programs that they started."""
    for process in processes:
        assert process.pid is not None
        if process.exitcode is None:
            end_programs(process.pid)
            process.kill()
        # Programs of a worker that died by itself have another parent now.
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    for process in processes:
        process.join()
