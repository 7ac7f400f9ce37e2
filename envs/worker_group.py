"""Worker processes that answer calls within a time limit, and end without leaving anything."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from envs.worker_ends import INTERRUPTION, SECONDS_TO_CLOSE
from envs.worker_processes import dead_workers, frames_cleared, lean_spawning, stop_workers

_ANSWERING_PATIENCE = 0.3  # seconds
_CLOSING_PATIENCE = SECONDS_TO_CLOSE + 2.0

AnswerT = TypeVar("AnswerT")


class WorkerFailure(RuntimeError):  # noqa: N818, the failure is no error of ours
    """Workers that did not answer a call, or died in it; all have been ended.

    Attributes:
        workers: their indices.
        end: how they died, "with exit code 3", or "" for those that are late.
    """

    def __init__(self, workers: Sequence[int], end: str = "") -> None:
        """Keep the workers and their end."""
        super().__init__(f"workers {list(workers)} {end or 'are late'}")
        self.workers = workers
        self.end = end


class WorkerGroup:
    """Gymnasium's AsyncVectorEnv with a time limit on every call.

    Attributes:
        workers: the vector environment; its environments return a user's exceptions as data.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        """Start one process for each of `env_fns`, which run no code of a user yet.

        Raises:
            WorkerFailure: a process ended while it started.
        """
        self._is_open = self._is_waiting = False
        try:
            with frames_cleared(), lean_spawning():
                self.workers = AsyncVectorEnv(
                    env_fns,
                    shared_memory=True,
                    copy=False,
                    context="spawn",
                    autoreset_mode=AutoresetMode.DISABLED,
                )
        except (EOFError, OSError) as error:
            raise WorkerFailure([0], "while it started") from error
        self._is_open = True

    def call(self, method: str, *args: Any, timeout: float) -> tuple[Any, ...]:
        """Call a method in every worker; see `exchange`."""
        send = partial(self.workers.call_async, method, *args)
        return self.exchange(send, self.workers.call_wait, timeout)

    def exchange(
        self, send: Callable[[], None], receive: Callable[[float], AnswerT], timeout: float
    ) -> AnswerT:
        """Send something to all workers and wait for every answer.

        Args:
            send: sends it.
            receive: waits for the answers, so many seconds.
            timeout: how many.

        Raises:
            WorkerFailure: a worker did not answer in time, or died.
        """
        self._is_waiting = True
        try:
            with frames_cleared():
                send()
                answers = receive(timeout)
        except multiprocessing.TimeoutError as error:
            late = [i for i, pipe in enumerate(self.workers.parent_pipes) if not pipe.poll(0)]
            dead = [i for i in late if self.workers.processes[i].exitcode is not None]
            raise self._failure(late, dead) from error
        except (EOFError, OSError) as error:
            dead = dead_workers(self.workers.processes, patience=1.0)
            raise self._failure([], dead) from error
        self._is_waiting = False
        return answers

    def _failure(self, late: Sequence[int], dead: Sequence[int]) -> WorkerFailure:
        """End all workers; the dead ones are the cause, if there are any."""
        processes = [self.workers.processes[i] for i in dead]
        for process in processes:
            process.join()  # Only then is the exit code known.
        ends = sorted({_described_end(process.exitcode or 0) for process in processes})
        self.close()
        return WorkerFailure(dead or late, " and ".join(ends))

    def close(self) -> None:
        """Let the workers close their environments, then end every process.

        The user's code is interrupted where it has not answered a call yet.
        """
        if not self._is_open:
            return
        self._is_open = False
        late = self._late_workers() if self._is_waiting else []
        for i, pipe in enumerate(self.workers.parent_pipes):
            with suppress(OSError):  # That worker may have ended already.
                pipe.send(("close", None))
            pid = self.workers.processes[i].pid
            if i in late and pid is not None:
                with suppress(OSError):
                    os.kill(pid, INTERRUPTION)
        deadline = time.monotonic() + _CLOSING_PATIENCE
        for process in self.workers.processes:
            process.join(max(deadline - time.monotonic(), 0.0))
        self._end()

    def _late_workers(self) -> list[int]:
        """Those that owe an answer and do not give it right now."""
        deadline = time.monotonic() + _ANSWERING_PATIENCE
        return [
            i
            for i, pipe in enumerate(self.workers.parent_pipes)
            if not pipe.poll(max(deadline - time.monotonic(), 0.0))
        ]

    def kill(self) -> None:
        """End every process at once."""
        if self._is_open:
            self._is_open = False
            self._end()

    def _end(self) -> None:
        stop_workers(self.workers.processes)
        for pipe in self.workers.parent_pipes:
            pipe.close()
        self.workers.error_queue.close()
        self.workers.closed = True  # Else its own finaliser would talk to the closed pipes.


def _described_end(exit_code: int) -> str:
    """How a process ended: "with exit code 3", "by SIGSEGV"."""
    if exit_code >= 0:
        return f"with exit code {exit_code}"
    try:
        return f"by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"by signal {-exit_code}"
