"""Starting and stopping worker processes so that nothing is inherited or left behind."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread
from types import FrameType

_STDERR = 2
_THREADS_VARIABLE = "OMP_NUM_THREADS"
# Ctrl-C and the end of a terminal reach a whole process group, a scheduler's SIGTERM often every
# process of a job.
_SIGNALS_FOR_THE_PARENT = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def lean_spawning() -> Iterator[None]:
    """Within this context, spawned processes start with little.

    A spawned process runs the parent's main module again, which for a trainer means importing
    torch in every worker, and for a script without a `__main__` guard means running it again;
    here the main module is hidden. (What a user defines there travels by value, through
    cloudpickle.) Numerical libraries get one thread each, since the workers share the CPUs;
    a value that the user has set stays. Ctrl-C, SIGTERM and hang-ups wait until the worker calls
    `leave_signals_to_parent`: the parent decides what becomes of its workers.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name, None) for name in ("__spec__", "__file__")}
    set_threads = _THREADS_VARIABLE not in os.environ
    # A blocked signal stays blocked in child processes, from their very first instruction.
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_FOR_THE_PARENT)
    try:
        # Python's own helper process is not to end with the terminal either. It is started by the
        # first spawn otherwise, which would unblock the signals again.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_FOR_THE_PARENT)
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


def dead_workers(processes: Sequence[BaseProcess], patience: float) -> list[int]:
    """Indices of processes that have ended, waiting up to `patience` seconds for the first."""
    ended = wait([process.sentinel for process in processes], timeout=patience)
    return [i for i, process in enumerate(processes) if process.sentinel in ended]


def stop_workers(processes: Sequence[BaseProcess]) -> None:
    """End all processes without asking, since they do not listen to SIGTERM."""
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def leave_signals_to_parent() -> None:
    """In a worker: let Ctrl-C, SIGTERM and hang-ups pass.

    By handlers, not by ignoring them: programs that the worker starts are to have them as usual.
    """

    def pass_over(signal_number: int, frame: FrameType | None) -> None:
        del signal_number, frame

    for number in _SIGNALS_FOR_THE_PARENT:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as below nohup
            signal.signal(number, pass_over)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS_FOR_THE_PARENT)


def end_after_parent(patience: float) -> None:
    """In a worker: end at most `patience` seconds after the parent, however that ended.

    An idle worker ends by itself, since its pipe is closed, and closes its environments; one that
    hangs is ended. Only native code that hangs without releasing the interpreter can go on.
    """
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        time.sleep(patience)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def be_quiet_without_parent() -> None:
    """In a worker: if the parent has ended, print no more, for instance of a broken pipe."""
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
