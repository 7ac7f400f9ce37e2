"""A file that grows by whole lines, whatever happens to the process or the disk."""

import os
from collections.abc import Callable
from pathlib import Path

from meta_rl.runs.atomic_files import keep_lines, open_own_file


class LineFileError(OSError):
    """Lines that cannot be written; the message is one sentence."""


class LineFile:
    """Appends lines, several at once or none.

    Args:
        path: the file; an existing one is continued.
        wanted: which lines of an existing file stay, given without their newline.

    Raises:
        LineFileError: the file cannot be opened.
    """

    def __init__(self, path: Path, wanted: Callable[[str], bool]) -> None:
        self._path = path
        try:
            if path.exists():
                keep_lines(path, wanted)
            # Without a buffer, so that nothing is left for a later attempt to write twice.
            self._file = open_own_file(path, "ab", buffering=0)
        except OSError as error:
            raise self._failure(error) from None

    @property
    def is_empty(self) -> bool:
        """Whether there is no line yet."""
        return os.fstat(self._file.fileno()).st_size == 0

    def append(self, lines: str) -> None:
        """Adds text that ends with a newline; it outlives the process, though not a power cut.

        Raises:
            LineFileError: the disk is full, for example; the file is then as it was.
        """
        size = os.fstat(self._file.fileno()).st_size
        content = memoryview(lines.encode())
        try:
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            self._file.truncate(size)
            raise self._failure(error) from None

    def sync(self) -> None:
        """Returns when the lines are on the disk."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _failure(self, error: OSError) -> LineFileError:
        return LineFileError(f"{self._path} cannot be written: {error.strerror}")
