#!/usr/bin/env python
"""The reward that MAML earns in a whole trial of a bandit: all pulls, those before adapting too.

    .venv/bin/meta-rl train bandit_maml run.seed=0 run.dir=runs/bandit_maml-seed0
    .venv/bin/python scripts/bandit_total.py runs/bandit_maml-seed0

The RL^2 paper (arXiv 1611.02779) counts the reward of a trial of N pulls. A trial here is the
episodes of all stages of an evaluation, one pull each: with the preset 20 pulls by the initial
policy, a gradient step, 20 pulls by the adapted one, and so on, 100 in all. So the first fifth of
the pulls is earned without any adaptation, and every pull counts, as it does there.

Each run plays the same test tasks, and so does the first run's policy before training, since the
gradient steps alone earn much of the reward. Results go to scripts/results/bandit.json, of which
--table prints the table of scripts/results/README.md.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from reproduce_maml_rl import compact_json, provenance

from meta_rl.runs.atomic_files import write_text_atomically

RESULTS = Path(__file__).parent / "results" / "bandit.json"
NUM_TASKS = 1000
# Five arms and 100 pulls. MAML's number is younger than the RL^2 paper; reviews quote it beside the
# one of that paper. The last two follow from the distribution.
PUBLISHED = {
    "MAML, as published": "67.1",
    "RL², as published": "78.7",
    "a random player": "50.0",
    "the best arm": "83.3",
}


def trial_totals(rows: Iterable[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """Rewards of whole trials, and of their stages.

    Args:
        rows: of an ``evaluation.csv`` of ``meta-rl evaluate``.

    Returns:
        For each seed, and for the untrained policy, [task, adaptation_step]: sums over the
        episodes of a stage.
    """
    sums: dict[str, dict[tuple[int, int], float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        policy = f"seed {row['seed']}" if row["kind"] == "run" else "untrained"
        place = int(row["task_index"]), int(row["adaptation_step"])
        sums[policy][place] += float(row["episode_return"])
    totals = {}
    for policy, entries in sums.items():
        total = np.zeros(1 + np.max(list(entries), axis=0))
        for place, value in entries.items():
            total[place] = value
        totals[policy] = total
    return totals


def summary(total: np.ndarray) -> dict[str, Any]:
    """Mean total of a trial with its 95 % interval over tasks, and the mean of each stage."""
    trial = total.sum(1)
    return {
        "total": round(float(trial.mean()), 2),
        "interval": round(float(1.96 * trial.std(ddof=1) / np.sqrt(len(trial))), 2),
        "stages": total.mean(0).round(2).tolist(),
        "num_tasks": len(trial),
    }


def evaluated(runs: Sequence[Path], num_tasks: int) -> dict[str, dict[str, Any]]:
    """Plays the test tasks with the runs' policies and with an untrained one."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "evaluation"
        command = [sys.executable, "-m", "meta_rl", "evaluate", *map(str, runs)]
        options = ["--num-tasks", str(num_tasks), "--reference", "random", "--out", str(out)]
        subprocess.run([*command, *options], check=True)
        with (out / "evaluation.csv").open(newline="") as file:
            totals = trial_totals(csv.DictReader(file))
    return {policy: summary(total) for policy, total in totals.items()}


def table(file: Path = RESULTS) -> str:
    """The results as a Markdown table, published numbers below ours."""
    results = json.loads(file.read_text())
    policies = results["policies"]
    num_stages = max(len(values["stages"]) for values in policies.values())
    stages = " | ".join(f"stage {stage}" for stage in range(num_stages))
    lines = [
        f"| reward of a trial | total ± 95 % over tasks | {stages} |",
        "|---|---" + "|---" * num_stages + "|",
    ]
    for policy, values in policies.items():
        cells = [f"{stage:.1f}" for stage in values["stages"]]
        total = f"{values['total']:.1f} ±{values['interval']:.1f}"
        lines.append(f"| {policy} | {total} | {' | '.join(cells)} |")
    for label, total in PUBLISHED.items():
        lines.append(f"| {label} | {total} |{' |' * num_stages}")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="*", type=Path, help="finished runs of one setting")
    parser.add_argument("--num-tasks", type=int, default=NUM_TASKS, help="test tasks")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    if not arguments.runs:
        parser.error("name finished runs, or --table")
    policies = evaluated(arguments.runs, arguments.num_tasks)
    facts = {run.name: json.loads((run / "run.json").read_text()) for run in arguments.runs}
    result = {
        "command": f"scripts/bandit_total.py {' '.join(facts)} --num-tasks {arguments.num_tasks}",
        "policies": policies,
        "runs": {name: provenance(fact) for name, fact in facts.items()},
    }
    write_text_atomically(RESULTS, compact_json(result))
    for policy, values in policies.items():
        stages = " + ".join(f"{stage:.1f}" for stage in values["stages"])
        print(f"{policy}: {values['total']:.1f} +-{values['interval']:.1f} = {stages}")


if __name__ == "__main__":
    main()
