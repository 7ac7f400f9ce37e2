"""Starting and stopping worker processes so that nothing is inherited or left behind."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

_THREADS_VARIABLE = "OMP_NUM_THREADS"


@contextmanager
def lean_spawning() -> Iterator[None]:
    """Within this context, spawned processes start with little.

    A spawned process runs the parent's main module again, which for a trainer means importing
    torch in every worker, and for a script without a `__main__` guard means running it again;
    here the main module is hidden. (What a user defines there travels by value, through
    cloudpickle.) Numerical libraries get one thread each, since the workers share the CPUs;
    a value that the user has set stays. Workers never see Ctrl-C: the parent ends them.
    """
    main = sys.modules["__main__"]
    hidden = {name: getattr(main, name, None) for name in ("__spec__", "__file__")}
    set_threads = _THREADS_VARIABLE not in os.environ
    # A blocked signal stays blocked in child processes, from their very first instruction.
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
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


def stop_workers(processes: Sequence[BaseProcess], patience: float) -> None:
    """End all processes: politely for `patience` seconds in all, then without asking."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    if len(dead_workers(processes, 0.0)) < len(processes):
        for process in processes:
            process.join(patience / len(processes))
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()
