"""File changes that a crash cannot leave half done."""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from meta_rl.reading import FileError, SentenceError, read_bytes
from meta_rl.reading.plain_files import MAX_TABLE_BYTES


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader finds either all of it or what was there before.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_durably(temporary, text.encode())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class NewFolderError(SentenceError):
    """A folder that cannot be made or filled; the message is one sentence."""


def check_unused(path: Path) -> None:
    """Raises NewFolderError where ``new_folder`` would find something of this name."""
    if os.path.lexists(path):
        raise NewFolderError(f"{path} exists and is not overwritten")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Makes a folder that is there with all that the block writes into it, or not at all.

    Yields:
        The folder under a temporary name, beside its later place.

    Raises:
        NewFolderError: there is something of this name already, or writing fails.
    """
    check_unused(path)
    with _filled_folder(path) as temporary:
        yield temporary
        sync_folder(temporary)
        temporary.rename(path)


@dataclass
class NumberedFolder:
    """A folder that is being filled, and the name that it gets.

    Attributes:
        temporary: where to write.
        path: its later place; settled when it is complete.
    """

    temporary: Path
    path: Path


@contextmanager
def new_numbered_folder(path: Path) -> Iterator[NumberedFolder]:
    """As ``new_folder``, and where there is something of this name, the next free one.

    Several processes may ask for the same name: each gets one of its own.

    Raises:
        NewFolderError: writing fails.
    """
    with _filled_folder(path) as temporary:
        folder = NumberedFolder(temporary, path)
        yield folder
        sync_folder(temporary)
        for number in count(1):
            folder.path = path if number == 1 else path.with_name(f"{path.name}-{number}")
            if os.path.lexists(folder.path):
                continue
            try:
                temporary.rename(folder.path)
                return
            except OSError as error:
                # Another process was faster.
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise


@contextmanager
def _filled_folder(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
    except OSError as error:
        raise NewFolderError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file and returns when it is on the disk."""
    with open_own_file(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def open_own_file(path: Path, mode: str, buffering: int = -1) -> IO[bytes]:
    """Opens a file for writing as ``open`` does, but follows no link.

    In a folder that somebody else has made, a link could lead to any file of the user.

    Args:
        path: the file.
        mode: of ``open``, with a ``b``.
        buffering: of ``open``.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    # Windows has neither. A pipe would be waited for.
    more_flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | more_flags, 0o666)

    file: IO[bytes] = open(path, mode, buffering, opener=opener)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a file")
    return file


def sync_folder(folder: Path) -> None:
    """Returns when the names in a folder, new or changed, are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_replaced(path: Path) -> str:
    """Reads a table of a run, in which a replacement character stands for what is not UTF-8.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return read_bytes(path, MAX_TABLE_BYTES).decode(errors="replace")
    except FileError as error:
        raise OSError(errno.EIO, str(error)) from None


def keep_lines(path: Path, wanted: Callable[[str], bool]) -> None:
    """Drops the lines of a file that are unwanted, and a last line without its newline.

    Args:
        path: a text file.
        wanted: decides on a line, given without its newline.

    Raises:
        OSError: the file cannot be read or written.
    """
    lines = read_replaced(path).split("\n")[:-1]  # what follows the last newline is torn
    kept = [line for line in lines if wanted(line)]
    write_text_atomically(path, "".join(f"{line}\n" for line in kept))
