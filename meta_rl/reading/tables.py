"""Rows of a CSV file, one at a time."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from meta_rl.reading.plain_files import MAX_TABLE_BYTES, MIB, open_file
from meta_rl.reading.sentences import FileError

MAX_LINE_LENGTH = MIB
"""Most characters of a line."""


def read_rows(
    path: Path, max_bytes: int = MAX_TABLE_BYTES, *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the line that a row ends at, counted from 1, and the row.

    Args:
        path: the file, in UTF-8 with or without a byte order mark.
        max_bytes: most bytes that it may have.
        strict: refuse quotes in places where CSV has none.

    Raises:
        FileError: it cannot be read, or is not such a file.
    """
    with (
        open_file(path, max_bytes) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text,
    ):
        reader = csv.reader(_lines(text, path), strict=strict)
        try:
            for row in reader:
                yield reader.line_num, row
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise FileError(f"{path} is not a CSV file in UTF-8") from None
        except csv.Error as error:
            raise FileError(f"{path}, line {reader.line_num}: {error}") from None


def _lines(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    while line := text.readline(MAX_LINE_LENGTH + 1):
        if len(line) > MAX_LINE_LENGTH:
            raise FileError(f"{path} has a line of more than {MAX_LINE_LENGTH:,} characters")
        yield line
