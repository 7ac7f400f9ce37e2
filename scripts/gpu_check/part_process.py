"""A part runs in processes of its own, for so long and no longer; nothing of it stays behind."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gpu_check.journal import Journal

MARK = "@result "
GRACE = 5.0


def run_part(
    journal: Journal,
    name: str,
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    limit: float,
) -> None:
    """Runs a command and writes what it reports, as it comes.

    Args:
        journal: where to.
        name: of the part.
        command: prints its results as JSON behind ``MARK``, at most one a line.
        folder: where it runs.
        environment: its environment variables.
        limit: seconds after which it is asked to stop, and after ``GRACE`` more made to.
    """
    journal.say(f"== {name}, at most {limit:.0f} s")
    journal.set_part(name, status="running")
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    reader = threading.Thread(target=_read, args=(process, journal, name), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(limit)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _end_group(process)
        reader.join(GRACE)
        seconds = round(time.monotonic() - start, 1)
    if code is None:
        status = f"cut off after {seconds:.0f} s"
    else:
        status = "finished" if code == 0 else f"failed with status {code}"
    journal.set_part(name, status=status, seconds=seconds)
    journal.say(f"== {name}: {status}")


def _read(process: subprocess.Popen[str], journal: Journal, name: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        # pytest's dots may stand before it.
        printed, mark, result = line.rstrip("\n").partition(MARK)
        if printed or not mark:
            journal.say(printed)
        if mark:
            journal.add_result(name, json.loads(result))


def _end_group(process: subprocess.Popen[str]) -> None:
    """Ends the process and all that it started, also where it has ended and they have not."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
