"""What a machine lacks is said by name, and fails where it could have been installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

@pytest.mark.needs("chromium")
def test_of_a_tool(): pass

@pytest.mark.needs("Omniglot")
def test_of_data(): pass

@pytest.mark.needs("Omniglot")
def test_of_more_data(): pass

def test_of_nothing(): pass
"""
WITHOUT_A_NAME = """
import pytest

def test_that_skips(): pytest.skip("no reason")
"""
NOT_COLLECTED = "import pytest\npytest.importorskip('no_such_module')\n"
DATA = "Not run: 2 tests, needs Omniglot (META_RL_OMNIGLOT=omniglot28.npz scripts/test)"


def run(folder: Path, source: str, *arguments: str, **variables: str) -> tuple[int, list[str]]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(source)
    unset = ("CI", "META_RL_OMNIGLOT", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, folder],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**kept, "PATH": str(folder), **variables},
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_last_lines_say_what_was_skipped_and_how_to_have_it(tmp_path: Path):
    tool = "Not run: 1 test, needs chromium (on Debian: apt-get install chromium)"
    for arguments in ((), ("-n", "2")):
        code, lines = run(tmp_path, TESTS, *arguments)
        assert (code, lines[-2:]) == (0, [DATA, tool])
        assert lines[-3].startswith("1 passed, 3 skipped")
    assert run(tmp_path, "def test_of_nothing(): pass")[1][-1] == "No test was skipped."


def test_a_missing_tool_fails_in_continuous_integration_and_missing_data_does_not(tmp_path: Path):
    code, lines = run(tmp_path, TESTS, CI="true")
    assert code == 1
    assert "needs chromium (on Debian: apt-get install chromium)" in lines
    assert lines[-2].startswith("1 passed, 2 skipped, 1 error")
    assert lines[-1] == DATA


def test_skipping_without_a_name_fails(tmp_path: Path):
    for source in (WITHOUT_A_NAME, NOT_COLLECTED):
        code, lines = run(tmp_path, source)
        assert code != 0
        assert "what a test needs should have a name in tests/conftest.py" in "\n".join(lines)


def test_a_tool_that_is_here_is_used(tmp_path: Path):
    (tmp_path / "chromium").touch(mode=0o755)
    code, lines = run(tmp_path, TESTS, CI="true")
    assert (code, lines[-1]) == (0, DATA)
