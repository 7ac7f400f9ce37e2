"""Files of lines on a disk that fills up, really: a limit on the size of files, in a process."""

import subprocess
import sys
from pathlib import Path

import pytest

from meta_rl.runs.line_file import LineFile, LineFileError


def everything(line: str) -> bool:
    return True


def test_lines_are_appended_and_unwanted_and_torn_ones_dropped(tmp_path: Path):
    path = tmp_path / "lines"
    path.write_text("a\nb\nc\ntor")
    file = LineFile(path, lambda line: line != "b")
    assert not file.is_empty
    file.append("d\ne\n")
    file.sync()
    file.close()
    assert path.read_text() == "a\nc\nd\ne\n"
    assert LineFile(tmp_path / "new", everything).is_empty


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path):
    with pytest.raises(LineFileError, match="lines cannot be written: No such file or directory"):
        LineFile(tmp_path / "absent" / "lines", everything)


def test_a_line_that_does_not_fit_leaves_no_part_of_it(tmp_path: Path):
    path = tmp_path / "lines"
    code = (
        "import pathlib, resource, sys\n"
        "from meta_rl.runs.line_file import LineFile, LineFileError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
        "file = LineFile(pathlib.Path(sys.argv[1]), lambda line: True)\n"
        "file.append('123456\\n')\n"
        "try: file.append('123456\\n')\n"
        "except LineFileError as error: print(error)\n"
        "file.append('12\\n')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout == f"{path} cannot be written: File too large\n"
    assert path.read_text() == "123456\n12\n"
