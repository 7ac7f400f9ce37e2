"""One process at a time may write a folder."""

import os
from pathlib import Path
from typing import IO

from meta_rl.reading import SentenceError
from meta_rl.runs.atomic_files import open_own_file


class FolderLockError(SentenceError):
    """A folder that another process writes, or that cannot be written; one sentence."""


class FolderInUseError(FolderLockError):
    """A folder that another process writes."""


def lock_folder(path: Path) -> IO[bytes]:
    """Keeps other processes from writing a folder until the returned file is closed.

    The lock also ends with the process, however that ends.

    Raises:
        FolderLockError: another process has the lock, the folder cannot be written, or the
            system is Windows, which has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        raise FolderLockError(
            "training needs Linux or macOS, whose locks keep other processes from a run directory; "
            "on Windows, it works in WSL"
        ) from None
    try:
        file = open_own_file(path / ".lock", "a+b")
    except OSError as error:
        raise FolderLockError(f"{path} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(20).decode(errors="replace").strip()
        file.close()
        raise FolderInUseError(f"{path} is being written by process {owner}") from None
    except OSError as error:
        file.close()
        raise FolderLockError(f"{path} cannot be locked: {error.strerror}") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    file.flush()
    return file


def why_locked(path: Path) -> str:
    """The sentence of another process that writes a folder, or '' where nobody does.

    Raises:
        FolderLockError: as ``lock_folder``, for other reasons.
    """
    try:
        lock_folder(path).close()
    except FolderInUseError as error:
        return str(error)
    return ""
