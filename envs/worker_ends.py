"""How a worker process ends: its environments closed, its programs ended, after its parent."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread, Timer
from types import FrameType
from typing import Any

import gymnasium

from envs.user_fault import fault_from

SECONDS_TO_CLOSE = 3.0  # one environment
_SECONDS_AFTER_PARENT = 2.0
_STDERR = 2
# Ctrl-C and the end of a terminal reach a whole process group, a scheduler's SIGTERM often every
# process of a job.
SIGNALS_FOR_THE_PARENT = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# What the parent sends to a worker that is late.
INTERRUPTION = signal.SIGUSR1


class Interrupted(BaseException):
    """A user's code was interrupted, since it took too long or the program ends."""


def arrange_ending() -> None:
    """In a worker, before any code of a user runs: see to how it ends.

    Ctrl-C, SIGTERM and hang-ups pass. By handlers, not by ignoring them: programs that the worker
    starts are to have them as usual. These programs are in a process group of the worker's own, by
    which the parent finds them when the worker is gone.
    """

    def pass_over(signal_number: int, frame: FrameType | None) -> None:
        del signal_number, frame

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        del signal_number, frame
        raise Interrupted

    for number in SIGNALS_FOR_THE_PARENT:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as below nohup
            signal.signal(number, pass_over)
    signal.signal(INTERRUPTION, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_FOR_THE_PARENT)
    os.setpgid(0, 0)
    _end_after_parent()


def close_all(envs: Iterable[gymnasium.Env[Any, Any]]) -> list[str]:
    """In a worker that ends: close its environments, then end what programs they have left.

    Returns:
        What was wrong with closing them.
    """
    _be_quiet_without_parent()
    problems = list(filter(None, map(close_env, envs)))
    end_programs(os.getpid())
    return problems


def close_env(env: gymnasium.Env[Any, Any]) -> str | None:
    """Close one environment; what was wrong with that, if anything, in a sentence's words."""
    timer = Timer(SECONDS_TO_CLOSE, os.kill, (os.getpid(), INTERRUPTION))
    timer.daemon = True
    timer.start()
    try:
        env.close()
    except Interrupted:
        return f"close did not end within {SECONDS_TO_CLOSE:g} s and was interrupted"
    except BaseException as error:
        return f"close raised {fault_from(error, env).sentence}"
    finally:
        timer.cancel()
    return None


def end_programs(pid: int) -> None:
    """Kill the processes that a process has started, and those that they have.

    As far as /proc tells: elsewhere than on Linux, and of programs that made themselves daemons,
    nothing is known.
    """
    parent_of = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = status.read_bytes().rpartition(b")")[2].split()[1]
            parent_of[int(status.parent.name)] = int(parent)
    family = {pid}
    while grown := {child for child, parent in parent_of.items() if parent in family} - family:
        family |= grown
    for program in family - {pid}:
        with suppress(OSError):
            os.kill(program, signal.SIGKILL)


def _end_after_parent() -> None:
    """End soon after the parent, however that ended.

    An idle worker ends by itself, since its pipe is closed, and closes its environments; one that
    hangs is ended. Only native code that hangs without releasing the interpreter can go on.
    """
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        time.sleep(_SECONDS_AFTER_PARENT)
        end_programs(os.getpid())
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _be_quiet_without_parent() -> None:
    """If there is no parent to talk to, print no more, for instance of a broken pipe."""
    parent = parent_process()
    is_cut_off = isinstance(sys.exc_info()[1], OSError)
    if is_cut_off or (parent is not None and not parent.is_alive()):
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
