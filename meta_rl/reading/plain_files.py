"""Opens files and nothing else: no pipe that never ends, no device, nothing that is too large."""

import stat
from pathlib import Path
from typing import BinaryIO

from meta_rl.reading.sentences import FileError

MIB = 1 << 20
MAX_TEXT_BYTES = 4 * MIB
"""Most bytes of a file that is read as a whole, where its reader does not say otherwise."""
MAX_TABLE_BYTES = 1 << 30
"""Most bytes of a table, which is read line by line."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def open_file(path: Path, max_bytes: int) -> BinaryIO:
    """Opens an ordinary file for reading.

    Raises:
        FileError: there is none, it cannot be read, it is something else, or it is too large.
    """
    try:
        status = path.stat()
        # Before it is opened: to open a pipe may take forever, and a device may do anything.
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
            raise FileError(f"{path} cannot be read: it is {kind}, not a file")
        if status.st_size > max_bytes:
            raise _too_large(path, max_bytes)
        return path.open("rb")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        if isinstance(error, FileError):
            raise
        # A path with a character that no path can hold.
        raise FileError(f"{path} cannot be read: {error}") from None


def read_bytes(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Reads a whole file.

    Raises:
        FileError: as ``open_file``.
    """
    with open_file(path, max_bytes) as file:
        try:
            content = file.read(max_bytes + 1)
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    # The system's own files grow while they are read, and say that they are empty.
    if len(content) > max_bytes:
        raise _too_large(path, max_bytes)
    return content


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Reads a whole file of text in UTF-8; a byte order mark is left out.

    Raises:
        FileError: as ``open_file``, or it is not such a text.
    """
    content = read_bytes(path, max_bytes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"{path} is not a text file in UTF-8") from None


def _too_large(path: Path, max_bytes: int) -> FileError:
    return FileError(f"{path} cannot be read: it has more than {max_bytes:,} bytes")
