"""One run of a sweep as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from meta_rl.launch.index import SweepRun
from meta_rl.launch.lifeline import LIFELINE
from meta_rl.runs.atomic_files import open_own_file
from meta_rl.runs.trusted_runs import modules_of_file

_ERROR = "Error: "


class TrainingProcess:
    """``meta-rl train`` at work on a run, which it starts or resumes.

    It leads a session of its own, so that Ctrl-C in a terminal reaches it only through ``stop``. It
    ends with this process, even if that is killed.
    """

    def __init__(self, run: SweepRun, *, num_threads: int, sets_num_threads: bool) -> None:
        """Starts the process.

        Args:
            run: which.
            num_threads: its share of the machine.
            sets_num_threads: whether its settings say how many physics threads it has; otherwise
                it has its share.

        Raises:
            OSError: its log cannot be written, or there is no room for another process.
        """
        self._run = run
        overrides = [] if sets_num_threads else [f"rollout.num_threads={num_threads}"]
        command = [sys.executable, "-m", "meta_rl", "train", *_arguments(run), *overrides]
        with open_own_file(run.log_file, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # see ``lifeline``
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(run, num_threads),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        status = self._process.poll()
        if status is not None:
            self._let_go()
        return status

    def wait(self) -> int:
        """The exit status, once it has ended."""
        status = self._process.wait()
        self._let_go()
        return status

    def stop(self) -> None:
        """Asks it to save and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it, and its workers, at once; what it saved before can be resumed."""
        with suppress(ProcessLookupError):  # it has ended by now
            os.killpg(self._process.pid, signal.SIGKILL)

    def error(self) -> str:
        """What it ended with, in one sentence."""
        status = self._process.returncode
        if status < 0:
            hint = " (was there too little memory?)" if -status == signal.SIGKILL else ""
            return f"ended by {_signal_name(-status)}{hint}"
        lines = self._log_lines()
        sentences = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        if sentences:
            return sentences[-1]
        if status > 128:
            return f"stopped by {_signal_name(status - 128)}"
        return lines[-1] if lines else f"ended with status {status}"

    def _let_go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _log_lines(self) -> list[str]:
        try:
            with self._run.log_file.open("rb") as log:
                log.seek(self._log_start)
                text = log.read().decode(errors="replace")
        except OSError as error:
            return [f"its log cannot be read: {error.strerror}"]
        return [line.strip() for line in text.splitlines() if line.strip()]


def _arguments(run: SweepRun) -> Sequence[str]:
    # The command of the sweep has named the modules, so that of a run may name them, too.
    modules = modules_of_file(run.settings_file)
    named = [f"{name}={json.dumps(module)}" for name, module in modules.items()]
    if run.path.exists():
        return ["--resume", str(run.path.absolute()), *named]
    # JSON's strings are YAML's.
    path = json.dumps(str(run.path.absolute()))
    return [str(run.settings_file.absolute()), f"run.dir={path}", *named]


def _environment(run: SweepRun, num_threads: int) -> dict[str, str]:
    defaults = {
        "OMP_NUM_THREADS": str(num_threads),
        "PYTHONUNBUFFERED": "1",  # the log of a process that is killed holds all that it said
        "WANDB_RUN_GROUP": run.sweep_path.absolute().name,
    }
    return defaults | dict(os.environ) | {LIFELINE: "1"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
