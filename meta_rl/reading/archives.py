"""Zip archives, also those of NumPy and torch, of which a few bytes may stand for gigabytes."""

import io
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meta_rl.reading.plain_files import MIB, read_bytes
from meta_rl.reading.sentences import FileError

MAX_ARCHIVE_BYTES = 1024 * MIB
_MAX_MEMBERS = 100_000


class Archive:
    """A zip archive in memory.

    Raises:
        FileError: it cannot be read or is no zip archive.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_ARCHIVE_BYTES) -> None:
        """Reads the file and its list of members."""
        self._path = path
        content = read_bytes(path, max_bytes)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except Exception as error:  # damaged bytes make it raise all kinds
            raise _damaged(path, error) from None
        if len(self.names) > _MAX_MEMBERS:
            raise FileError(f"{path} has more than {_MAX_MEMBERS:,} members")

    @property
    def names(self) -> list[str]:
        """Those of the members, sorted."""
        return sorted(self._zip.namelist())

    def read(self, name: str, max_bytes: int) -> bytes:
        """Unpacks a member.

        Raises:
            FileError: it is damaged, encrypted, or larger than ``max_bytes``.
        """
        member = self._zip.getinfo(name)
        if member.flag_bits & 1:
            raise FileError(f"{self._path} is encrypted: {name}")
        try:
            with self._zip.open(member) as file:
                content = file.read(max_bytes + 1)
        except Exception as error:
            raise _damaged(self._path, error) from None
        # Not what the archive says of itself, which may be wrong.
        if len(content) > max_bytes:
            raise FileError(f"{self._path} holds more than {max_bytes:,} bytes in {name}")
        return content


def read_arrays(path: Path, names: Sequence[str], max_bytes: int) -> list[np.ndarray]:
    """Reads arrays of numbers and text from a file that ``numpy.savez`` has written.

    Args:
        path: the file.
        names: which arrays.
        max_bytes: most bytes of each.

    Raises:
        FileError: it is no such file, lacks an array or holds objects, or an array is too large.
    """
    archive = Archive(path)
    missing = [name for name in names if f"{name}.npy" not in archive.names]
    if missing:
        raise FileError(f"{path} lacks the array {missing[0]}")
    contents = [archive.read(f"{name}.npy", max_bytes) for name in names]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files of Python 2
            arrays = [np.load(io.BytesIO(content), allow_pickle=False) for content in contents]
    except Exception as error:
        raise _damaged(path, error) from None
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise FileError(f"{path} is damaged: it does not hold arrays")
    return arrays


def check_not_packed(content: bytes) -> None:
    """Makes sure that the members of a zip archive are no larger than the archive.

    Raises:
        ValueError: they are, or are compressed, or it is no zip archive.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("a member is compressed")
    if sum(member.file_size for member in members) > len(content):
        raise ValueError("the members overlap")


def _damaged(path: Path, error: Exception) -> FileError:
    return FileError(f"{path} is damaged: {str(error) or type(error).__name__}")
