r"""Shows on a machine with a GPU what only a GPU can show.

scripts/check_gpu                          # the machine's Python and torch; the rest from an index
scripts/check_gpu --wheels FOLDER          # the rest from a folder, without a network
scripts/check_gpu --needed-wheels          # what belongs into that folder, one requirement a line
scripts/check_gpu --dry-run                # everything on the CPU, at tiny sizes
scripts/check_gpu --table                  # the table of scripts/results/README.md

The folder is filled on a machine with a network, for the Python of the one with the GPU:

    scripts/check_gpu --needed-wheels > needed.txt
    pip download --no-deps --only-binary=:all: -d FOLDER -r needed.txt --python-version 3.12 \
        --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --platform manylinux1_x86_64

It takes less than six minutes and writes gpu_check.json and gpu_check.log, line by line.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from gpu_check.environment import (
    ROOT,
    SetupError,
    check_torch,
    make_environment,
    needed_requirements,
)
from gpu_check.journal import Journal
from gpu_check.part_process import GRACE, run_part

RESULTS = ROOT / "scripts" / "results"
# Of all parts and the environment; the last part may have what is left.
SECONDS = 345.0
# By what they are worth, should the rest be cut off.
PARTS = {
    "tests": 100.0,
    "speed": 100.0,
    "navigation": 55.0,
    "half_cheetah": 45.0,
    "compiled": SECONDS,
}


def main() -> None:
    """Makes the environment, then runs one part after another."""
    arguments = parse_arguments()
    if arguments.needed_wheels:
        print("\n".join(needed_requirements()))
        return
    if arguments.table:
        from gpu_check.table import table

        print(table())
        return
    folder = results_folder(arguments.out, is_dry=arguments.dry_run)
    try:
        facts = check_torch(needs_gpu=not arguments.dry_run)
    except SetupError as problem:
        sys.exit(f"check_gpu: {problem}")
    journal = Journal(folder, is_dry_run=arguments.dry_run, **facts)
    signal.signal(signal.SIGTERM, stop)
    journal.say(", ".join(f"{name} {value}" for name, value in facts.items()))
    try:
        python = make_environment(arguments.wheels)
    except SetupError as problem:
        journal.add(problem=str(problem))
        sys.exit(f"check_gpu: {problem}")
    journal.add(seconds_environment=round(journal.seconds, 1))
    run_parts(journal, python, arguments.parts, is_dry=arguments.dry_run)
    journal.say(f"{journal.seconds:.0f} s in all; the results are in {journal.json_file}")
    statuses = [part["status"] for part in journal.content["parts"].values()]
    sys.exit(any(status.startswith("failed") for status in statuses))


def run_parts(journal: Journal, python: str, names: Sequence[str], *, is_dry: bool) -> None:
    """Runs the parts in order, each as long as it may take and time is left."""
    for name in names:
        limit = min(PARTS[name], SECONDS - GRACE - journal.seconds)
        if limit < GRACE:
            journal.set_part(name, status="not run: no time was left", seconds=0.0)
            continue
        command = [python, "-m", "gpu_check.parts", name, *(["--dry-run"] if is_dry else [])]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'scripts'}",
            "PYTHONUNBUFFERED": "1",
        }
        run_part(journal, name, command, ROOT, environment, limit)


def results_folder(out: Path | None, *, is_dry: bool) -> Path:
    """``--out``, ``$OUT`` or scripts/results/; a dry run never replaces what was measured."""
    if out is not None:
        return out.resolve()
    if os.environ.get("OUT"):
        return Path(os.environ["OUT"]).resolve()
    return Path(tempfile.mkdtemp(prefix="gpu_check_")) if is_dry else RESULTS


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/check_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="install from here alone")
    parser.add_argument("--needed-wheels", action="store_true", help="say what belongs there")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, at tiny sizes")
    parser.add_argument("--table", action="store_true", help="print the table of results/README.md")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where results go")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    return parser.parse_args()


def stop(signal_number: int, frame: object) -> NoReturn:
    """Unwinds, so that a part's processes are ended."""
    del frame
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    main()
