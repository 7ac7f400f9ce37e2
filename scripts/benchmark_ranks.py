#!/usr/bin/env python
"""Measures what ranks, checkpoints and a resume cost, and that ranks change no result.

    .venv/bin/python scripts/benchmark_ranks.py

Writes scripts/results/ranks.json and prints the table of scripts/results/README.md from it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from meta_rl.runs.checkpoint import load_checkpoint, save_checkpoint
from meta_rl.runs.provenance import describe_process
from meta_rl.types import Params

RESULTS = Path(__file__).parent / "results" / "ranks.json"
# Evaluation is no part of what is compared.
NO_EVALUATION = (
    *("evaluation.every=0", "evaluation.num_tasks=4"),
    *("evaluation.episodes_per_task=2", "evaluation.num_adaptation_steps=0"),
)
# At the presets' settings. The half-cheetah is chaotic: the smallest difference grows in it.
COMPARED = {"2D navigation": "navigation", "HalfCheetahVel": "half_cheetah_vel"}
COMPARED_ITERATIONS, COMPARED_THREADS = 5, 2
TIMED = (
    *("half_cheetah_vel", "run.meta_batch_size=40"),
    *("adaptation.num_adaptation_steps=1", "adaptation.multi_step=false"),
)
TIMED_STAGES = ("seconds_sampling", "seconds_adapting", "seconds_updating")


def train(num_ranks: int, num_threads: int, path: Path, *arguments: str) -> None:
    """Trains under torchrun, with ``num_threads`` torch threads in each rank."""
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(num_ranks), "-m", "meta_rl", "train"),
            *(*arguments, *NO_EVALUATION, f"run.dir={path}", "run.device=cpu"),
        ],
        env=os.environ | {"OMP_NUM_THREADS": str(num_threads)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def largest_difference(one: Params, other: Params) -> float:
    """Over all entries of all parameters."""
    return max(float((value - other[name]).abs().max()) for name, value in one.items())


def compare_parameters(folder: Path, preset: str, numbers_of_ranks: list[int]) -> dict[str, float]:
    """How far a preset's parameters after some iterations are from those of one rank.

    Every rank has the same number of threads, because a product may round differently for another.
    """
    params = {}
    for num_ranks in [1, *numbers_of_ranks]:
        path = folder / f"{preset}-{num_ranks}"
        iterations = f"run.meta_iterations={COMPARED_ITERATIONS}"
        train(num_ranks, COMPARED_THREADS, path, preset, iterations)
        params[num_ranks] = load_checkpoint(path).params
    return {str(n): largest_difference(params[1], params[n]) for n in numbers_of_ranks}


def seconds_per_iteration(path: Path) -> float:
    """Median over a run's iterations but the first, which warms up."""
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(sum(record[stage] for stage in TIMED_STAGES) for record in records[1:])


def time_checkpoint(path: Path, num_rounds: int) -> float:
    """Median seconds that saving a run's last checkpoint again takes."""
    checkpoint = load_checkpoint(path)
    seconds = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        save_checkpoint(
            path,
            checkpoint.meta_iteration,
            checkpoint.params,
            checkpoint.config,
            checkpoint.trainer_state,
        )
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def time_command(*arguments: str) -> float:
    """Seconds that a training command takes from start to end."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "meta_rl", "train", *arguments],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def measure_resume(folder: Path) -> float:
    """Seconds that going from 1 to 2 iterations takes longer than going from 0 to 1 did."""
    path = folder / "resumed"
    settings = ("smoke", f"run.dir={path}", "run.device=cpu", "run.meta_iterations=1")
    fresh = time_command(*settings)
    resumed = time_command("--resume", str(path), "run.meta_iterations=2")
    return resumed - fresh


def measure(num_iterations: int) -> dict[str, Any]:
    """Everything, in runs of their own in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        difference = {
            name: compare_parameters(folder, preset, [2, 3]) for name, preset in COMPARED.items()
        }
        per_iteration = {}
        for num_ranks in (1, 2):
            path = folder / f"timed-{num_ranks}"
            # All CPUs for any number of ranks: torchrun's own default of one thread would be unfair
            # to a single one.
            num_threads = max(1, (os.cpu_count() or 1) // num_ranks)
            train(num_ranks, num_threads, path, *TIMED, f"run.meta_iterations={num_iterations}")
            per_iteration[str(num_ranks)] = seconds_per_iteration(path)
        return {
            "machine": describe_process(),
            "parameter_difference": difference,
            "half_cheetah_seconds_per_iteration": per_iteration,
            "checkpoint_seconds": time_checkpoint(folder / "timed-1", num_rounds=9),
            "resume_seconds_beyond_a_start": statistics.median(
                measure_resume(folder / str(index)) for index in range(3)
            ),
        }


def table() -> str:
    """The table of scripts/results/README.md, from the results file."""
    results = json.loads(RESULTS.read_text())
    seconds = results["half_cheetah_seconds_per_iteration"]
    share = results["checkpoint_seconds"] / seconds["1"]
    rows = {
        f"largest difference of a parameter after {COMPARED_ITERATIONS} iterations of {name}, "
        f"{n} ranks against 1, {COMPARED_THREADS} threads each": f"{difference:.1g}"
        for name, differences in results["parameter_difference"].items()
        for n, difference in differences.items()
    }
    rows |= {
        f"HalfCheetahVel, s per iteration, {n} rank{'s' if n != '1' else ''}": f"{value:.2f}"
        for n, value in seconds.items()
    }
    rows["a checkpoint, share of that iteration"] = f"{100 * share:.2f} %"
    rows["resuming, s beyond a start"] = f"{results['resume_seconds_beyond_a_start']:.2f}"
    machine = results["machine"]
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            f"{machine['hardware']['cpu']}, {machine['hardware']['num_cpus']} CPUs, torch "
            f"{machine['versions']['torch']}, commit {machine['git']['commit'][:7]}.",
        ]
    )


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=6, help="of HalfCheetahVel")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    if not arguments.table:
        results = measure(arguments.iterations)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table())


if __name__ == "__main__":
    main()
