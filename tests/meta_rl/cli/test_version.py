"""``meta-rl --version``, without waiting for torch."""

import subprocess
import sys

import meta_rl

PROGRAM = """
import sys
from meta_rl.cli import main
sys.argv = ["meta-rl", "--version"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def test_the_version():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, f"meta-rl {meta_rl.__version__}\n"), (
        result.stderr
    )
