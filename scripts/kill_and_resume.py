#!/usr/bin/env python
"""Kills training with SIGKILL at random instants, resumes it, and compares it with an unkilled run.

    .venv/bin/python scripts/kill_and_resume.py --kills 500
    .venv/bin/python scripts/kill_and_resume.py --kills 60 --preset half_cheetah_vel --threads 2

Half of the kills come after a random time, the other half just before a random file operation in
the run directory (an open, a rename, a removal), because those instants are short. A run is killed
and resumed until it ends; parameters, metrics.jsonl, evaluation.csv and best.json must then be
those of a run that nobody killed. Prints what was going on when the kills came; exits with status
1 at the first difference. Linux and macOS.
"""

import argparse
import collections
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from meta_rl.algorithms.maml_trpo import MamlTrpo
from meta_rl.config import Config, load_config
from meta_rl.problems.playing import TaskPlay
from meta_rl.problems.rl import RLProblem
from meta_rl.runs.checkpoint import find_checkpoints
from meta_rl.runs.run_log import RunLog
from meta_rl.training.jobs import resume_run, start_run

# A half-cheetah is chaotic, so that the smallest difference shows.
SETTINGS = {
    "smoke": ("rollout.horizon=5",),
    "half_cheetah_vel": (
        *("rollout.meta_batch_size=4", "rollout.episodes_per_task=10", "rollout.horizon=20"),
        *("evaluation.num_tasks=4", "evaluation.episodes_per_task=4", "evaluation.every=2"),
        "evaluation.num_adaptation_steps=1",
    ),
}
ALL_SETTINGS = ("run.device=cpu", "run.meta_iterations=6")
# What a run checkpoints and keeps; the numbers of a run do not depend on it.
SCHEDULES = (
    ("run.checkpoint_every=1", "run.keep_checkpoints=1"),
    ("run.checkpoint_every=3", "run.keep_checkpoints=2"),
)
# Events of the interpreter's audit, each raised just before the operation.
FILE_OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
MAX_OPERATIONS = 150  # a whole run has about as many
ACTIVITIES = (
    (TaskPlay, "__call__", "sampling"),
    (MamlTrpo, "update", "adapting and updating"),
    (RLProblem, "evaluate", "evaluating"),
    (RunLog, "write", "logging"),
    (RunLog, "checkpoint", "writing a checkpoint"),
)
ELSEWHERE = "starting, resuming or ending"
# Attempts are forked, because importing torch anew takes longer than a whole run, and not from this
# process but from a server that has imported everything and never differentiates: what autograd
# starts in a process does not survive a fork, and torch refuses to go on. Tracing imports inductor.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["meta_rl.training.jobs", "torch._inductor.config"])


def main() -> None:
    """Kills until there were enough kills, then prints them by what they hit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--preset", choices=SETTINGS, default="smoke", help="trained at a small size"
    )
    parser.add_argument("--threads", type=int, default=1, help="of tensors, and as many of physics")
    arguments = parser.parse_args()
    training = Training(arguments.preset, arguments.threads)
    draw = random.Random(arguments.seed)
    kills: collections.Counter[str] = collections.Counter()
    num_runs = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unkilled, seconds = unkilled_run(training, folder / "unkilled")
        while kills.total() < arguments.kills:
            run = folder / "run"
            kill_until_it_ends(training, run, draw, seconds, kills)
            if difference := first_difference(unkilled, run):
                kept = Path(tempfile.mkdtemp()) / "run"
                shutil.move(run, kept)
                sys.exit(f"after {kills.total()} kills, {difference} differs in {kept}")
            num_runs += 1
            shutil.rmtree(run)
    for activity, count in kills.most_common():
        print(f"{count:5d} while {activity}")
    print(f"{kills.total()} kills over {num_runs} runs: nothing lost, nothing doubled")


class Training(NamedTuple):
    """What is trained.

    Attributes:
        preset: a name in SETTINGS.
        num_threads: of tensors, and as many of physics.
    """

    preset: str
    num_threads: int


def unkilled_run(training: Training, path: Path) -> tuple[Path, float]:
    """A run to compare with, and about how many seconds one takes."""
    for _ in range(2):  # the first one waits until the server has imported everything
        shutil.rmtree(path, ignore_errors=True)
        start = time.perf_counter()
        if attempt(None, training, path, SCHEDULES[0]) != 0:
            sys.exit("the run to compare with failed: see above")
    return path, time.perf_counter() - start


def kill_until_it_ends(
    training: Training,
    path: Path,
    draw: random.Random,
    seconds: float,
    kills: collections.Counter[str],
) -> None:
    """Starts a run, then kills and resumes it until one attempt gets through.

    Args:
        training: of what.
        path: the run directory.
        draw: says when to kill.
        seconds: about how long a whole run takes.
        kills: counts the kills by what they hit.
    """
    schedule = draw.choice(SCHEDULES)
    activity = PROCESSES.RawValue("b")
    while True:
        if draw.random() < 0.5:
            num_operations = draw.randrange(1, MAX_OPERATIONS)
            code = attempt(None, training, path, schedule, activity, num_operations)
        else:
            code = attempt(draw.uniform(0.0, 0.7 * seconds), training, path, schedule, activity)
        if code == 0:
            return
        if code != -signal.SIGKILL:
            sys.exit(f"after {kills.total()} kills, an attempt failed by itself: see above")
        kills[[ELSEWHERE, *(name for *_, name in ACTIVITIES)][activity.value]] += 1


def attempt(seconds_to_live: float | None, *arguments: Any) -> int:
    """``train(*arguments)`` in a process of its own: its exit code, -9 where it was killed."""
    process = PROCESSES.Process(target=train, args=arguments)
    process.start()
    if seconds_to_live is not None:
        time.sleep(seconds_to_live)
        process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def train(
    training: Training,
    path: Path,
    schedule: tuple[str, ...],
    activity: Any = None,
    operations_to_live: int | None = None,
) -> None:
    """Starts a run or goes on with it, as the command does.

    Args:
        training: of what.
        path: the run directory.
        schedule: what it checkpoints and keeps.
        activity: a shared number, in which the process notes what it is doing.
        operations_to_live: file operations until it kills itself; None for a whole life.
    """
    if activity is not None:
        activity.value = 0
        for index, (owner, name, _) in enumerate(ACTIVITIES, start=1):
            _note_activity(owner, name, activity, index)
    if operations_to_live is not None:
        sys.addaudithook(_KillAtFileOperation(path, operations_to_live))
    console = Console(file=io.StringIO())
    torch.set_num_threads(training.num_threads)
    if path.exists():
        resume_run(path, load_config(str(path / "config.yaml")), console)
    else:
        start_run(_config(training, path, schedule), training.preset, console)


def _config(training: Training, path: Path, schedule: tuple[str, ...]) -> Config:
    num_threads = f"rollout.num_threads={training.num_threads}"
    settings = [*SETTINGS[training.preset], *ALL_SETTINGS, num_threads, *schedule]
    return load_config(training.preset, [*settings, f"run.dir={path}"])


class _KillAtFileOperation:
    """An audit hook that kills this process before the n-th file operation below a folder."""

    def __init__(self, folder: Path, countdown: int) -> None:
        # With what stands beside it, where a run directory is prepared.
        self._prefixes = (str(folder), str(folder.with_name(f".{folder.name}")))
        self._countdown = countdown

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in FILE_OPERATIONS or not str(arguments[0]).startswith(self._prefixes):
            return
        self._countdown -= 1
        if self._countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _note_activity(owner: Any, name: str, activity: Any, index: int) -> None:
    function = getattr(owner, name)

    def noted(*arguments: Any, **options: Any) -> Any:
        before, activity.value = activity.value, index
        try:
            return function(*arguments, **options)
        finally:
            activity.value = before

    setattr(owner, name, noted)


def first_difference(a: Path, b: Path) -> str:
    """What differs between two runs beyond what a clock says, or ''."""
    if _metrics(a) != _metrics(b):
        return "metrics.jsonl"
    last_a, last_b = find_checkpoints(a)[-1], find_checkpoints(b)[-1]
    if last_a.name != last_b.name:
        return "the last checkpoint's number"
    for name in ("evaluation.csv", "best.json"):
        if (a / name).read_bytes() != (b / name).read_bytes():
            return name
    best = json.loads((a / "best.json").read_text())["meta_iteration"]
    for checkpoint in (last_a.name, f"iteration_{best:06d}"):
        file = Path("checkpoints", checkpoint, "model.safetensors")
        if (a / file).read_bytes() != (b / file).read_bytes():
            return str(file)
    return ""


def _metrics(path: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
    return [{name: x for name, x in line.items() if "second" not in name} for line in lines]


if __name__ == "__main__":
    main()
