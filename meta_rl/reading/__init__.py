"""Files that somebody else may have written: runs, settings, tables, pictures, archives.

Everything that a command reads of a run or a data set comes through here. Whatever is wrong with a
file ends in a ``FileError`` of one sentence; nothing in a file is run, replaced or waited for, and
sizes have limits. Nothing here imports torch.
"""

from meta_rl.reading.json_values import parse_json, read_json
from meta_rl.reading.numbers import parse_integer, parse_number
from meta_rl.reading.plain_files import open_file, read_bytes, read_text
from meta_rl.reading.sentences import (
    FileError,
    SentenceError,
    file_errors_as,
    is_sentence,
    one_line,
)
from meta_rl.reading.tables import read_rows

__all__ = [
    "FileError",
    "SentenceError",
    "file_errors_as",
    "is_sentence",
    "one_line",
    "open_file",
    "parse_integer",
    "parse_json",
    "parse_number",
    "read_bytes",
    "read_json",
    "read_rows",
    "read_text",
]
