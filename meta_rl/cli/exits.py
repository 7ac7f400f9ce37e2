"""How a command ends early: with one sentence for a user's mistake, with a status for a signal."""

import os
import signal
import stat
import sys
import traceback
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from meta_rl.reading import is_sentence

_OUT_OF_MEMORY = (
    "there is not enough memory; a smaller meta_update.steps_per_chunk needs less and changes no "
    "result, a smaller run.meta_batch_size or rollout.episodes_per_task needs less, too"
)
_OUT_OF_MEMORY_PHRASES = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
_PATIENCE = 0.5  # seconds until a lost exception is raised again
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

    The exception unwinds whatever runs, and a training loop saves its last completed iteration.
    A signal may also come where exceptions are dropped, for instance where native code looks up an
    attribute; then the exception is raised again until it is not lost (not on Windows). A hang-up,
    the end of the terminal, stays ignored where it is ignored already, as below nohup.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        signals.append(_HANG_UP)
    raised: list[weakref.ref[Stopped]] = []

    def stop(signal_number: int, frame: FrameType | None) -> None:
        del frame
        for handled in signals:
            signal.signal(handled, signal.SIG_IGN)
        if signal_number == _HANG_UP:
            _be_quiet_without_terminal()
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, lambda *_: raise_if_lost(signal_number))
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _PATIENCE)
        raise_if_lost(signal_number)

    def raise_if_lost(signal_number: int) -> None:
        if not raised or raised[-1]() is None:
            # Without a name for it: this call is in its traceback and would keep it alive.
            raise noted(Stopped(signal_number))

    def noted(stopped: Stopped) -> Stopped:
        raised.append(weakref.ref(stopped))
        return stopped

    for handled in signals:
        signal.signal(handled, stop)
    try:
        yield
    finally:
        if raised and sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0.0)


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
def one_sentence_errors() -> Iterator[None]:
    """Ends the command with one sentence, and no traceback, for errors that a user can mend."""
    try:
        with _frames_cleared():
            yield
    except Stopped as stopped:
        sys.exit(stopped.exit_status)
    except Exception as error:
        if is_sentence(error):
            fail(str(error))
        if _is_out_of_memory(error):
            fail(_OUT_OF_MEMORY)
        raise


@contextmanager
def _frames_cleared() -> Iterator[None]:
    """Takes their variables from the calls that an exception ended.

    It often keeps them in a circle, which the ending interpreter frees in any order. Where one is
    a pickle on its way to a worker, Python 3.12 then ends by a segmentation fault and 3.13 prints
    an error: both release a BytesIO before its buffer.
    """
    try:
        yield
    except BaseException as error:
        chain: list[BaseException] = [error]
        for link in chain:
            traceback.clear_frames(link.__traceback__)
            causes = (link.__cause__, link.__context__)
            chain += [cause for cause in causes if cause is not None and cause not in chain]
        raise


def _is_out_of_memory(error: Exception) -> bool:
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    # On a CPU torch has no type of its own for this, and the GPU's libraries have none either.
    return any(phrase in str(error) for phrase in _OUT_OF_MEMORY_PHRASES)


def fail(message: str) -> NoReturn:
    """Ends the command with status 1."""
    typer.echo(f"Error: {message}", err=True)
    sys.exit(1)
