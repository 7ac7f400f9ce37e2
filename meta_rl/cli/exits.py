"""How a command ends early: with one sentence for a user's mistake, with a status for a signal."""

import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

_OUT_OF_MEMORY = (
    "there is not enough memory; a smaller meta_update.steps_per_chunk needs less and changes no "
    "result, a smaller rollout.meta_batch_size or rollout.episodes_per_task needs less, too"
)


# Windows has none.
_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or a terminal that was closed.

    Attributes:
        exit_status: 128 plus the signal's number, as shells have it.
    """

    def __init__(self, signal_number: int) -> None:
        """Keeps the exit status."""
        super().__init__()
        self.exit_status = 128 + signal_number


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turns the first Ctrl-C, SIGTERM or hang-up into an exception; further ones are ignored.

    The exception unwinds whatever runs, and a training loop saves its last completed iteration. A
    hang-up, the end of the terminal, stays ignored where it is ignored already, as below nohup.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        signals.append(_HANG_UP)

    def stop(signal_number: int, frame: FrameType | None) -> None:
        del frame
        for handled in signals:
            signal.signal(handled, signal.SIG_IGN)
        if signal_number == _HANG_UP:
            _be_quiet_without_terminal()
        raise Stopped(signal_number)

    for handled in signals:
        signal.signal(handled, stop)
    yield


def _be_quiet_without_terminal() -> None:
    """Lets what is still said go nowhere, since writing to a terminal that is gone is an error."""
    for descriptor in (1, 2):
        try:
            is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        except OSError:  # closed already
            continue
        if is_device and not os.isatty(descriptor):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


@contextmanager
def remember_signals() -> Iterator[list[int]]:
    """Notes Ctrl-C, SIGTERM and a terminal that is closed, and lets the command go on.

    For a command that has processes to end before it ends itself: no exception comes between the
    start of a process and the note of it.

    Yields:
        The signals' numbers, in the order in which they come.
    """
    received: list[int] = []

    def note(signal_number: int, frame: FrameType | None) -> None:
        del frame
        received.append(signal_number)
        if signal_number == _HANG_UP:
            _be_quiet_without_terminal()

    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, _HANG_UP)
        if number is not None
    }
    for number, handler in handlers.items():
        # Left alone where it is ignored already, as SIGHUP is below nohup.
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def one_sentence_errors(*expected: type[Exception]) -> Iterator[None]:
    """Ends the command with one sentence, and no traceback, for errors that a user can mend."""
    try:
        yield
    except Stopped as stopped:
        sys.exit(stopped.exit_status)
    except expected as error:
        fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        fail(_OUT_OF_MEMORY)


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    # On a CPU, torch has no type of its own for this.
    return "can't allocate memory" in str(error) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    )


def fail(message: str) -> NoReturn:
    """Ends the command with status 1."""
    typer.echo(f"Error: {message}", err=True)
    sys.exit(1)
