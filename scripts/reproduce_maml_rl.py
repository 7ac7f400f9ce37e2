#!/usr/bin/env python
"""Trains a preset with several seeds and records the adaptation curves on held-out tasks.

    .venv/bin/python scripts/reproduce_maml_rl.py navigation --seeds 1 2 3 4 5
    .venv/bin/python scripts/reproduce_maml_rl.py --table

A seed that was interrupted is resumed, and a finished one is not trained again. Results go to
scripts/results/PRESET.json; --table prints the README's table from these files.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from meta_rl.config import load_config
from meta_rl.training.evaluation_table import read_test_curves
from meta_rl.training.jobs import resume_run, start_run

RESULTS = Path(__file__).parent / "results"
# Finn et al. 2017, from the raw result files of their code: one training run each.
PAPER = {
    "navigation": [-40.41, -11.68, -3.33, -3.23],
    "half_cheetah_vel_rllab": [-129.53, -78.57, -66.62, -60.78],
    "half_cheetah_dir_rllab": [-50.69, 293.19, 313.48, 315.65],
}


def reproduce(preset: str, seed: int, overrides: list[str], runs: Path) -> dict[str, Any]:
    """Trains one seed, or goes on with it, and returns what the results file keeps of it."""
    path = runs / f"{preset}-seed{seed}"
    console = Console()
    if not path.exists():
        settings = [*overrides, f"run.seed={seed}", f"run.dir={path}"]
        start_run(load_config(preset, settings), preset, console)
    elif not is_finished(path):
        resume_run(path, load_config(str(path / "config.yaml")), console)
    return summarise(path)


def is_finished(path: Path) -> bool:
    """Whether the run has evaluated the iteration that it kept on the test tasks."""
    if not (path / "evaluation.csv").exists() or not (path / "best.json").exists():
        return False
    best = json.loads((path / "best.json").read_text())["meta_iteration"]
    return best in read_test_curves(path / "evaluation.csv")


def summarise(path: Path) -> dict[str, Any]:
    """The curves on the test tasks, what the run cost, and what it was run on."""
    records = [json.loads(line) for line in (path / "metrics.jsonl").open()]
    facts = json.loads((path / "run.json").read_text())
    return {
        "curves": {
            str(meta_iteration): {"mean": curve.mean.tolist(), "interval": curve.interval.tolist()}
            for meta_iteration, curve in read_test_curves(path / "evaluation.csv").items()
        },
        "meta_iterations": records[-1]["meta_iteration"],
        "env_steps": records[-1]["env_steps"],
        "training_seconds": records[-1]["seconds_total"],
        **{key: facts[key] for key in ("git", "versions", "hardware")},
        "commits_of_resumes": [resumed["git"] for resumed in facts.get("resumed", [])],
    }


def table() -> str:
    """The results as a Markdown table, a row per preset and seed."""
    lines = [
        "| preset | seed | 0 steps | 1 step | 2 steps | 3 steps | iteration kept | training "
        "| env steps | commit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for file in sorted(RESULTS.glob("*.json")):
        runs = json.loads(file.read_text()).get("runs", {})
        for seed, run in runs.items():
            kept, curve = list(run["curves"].items())[-1]
            returns = " | ".join(
                f"{mean:.1f} ±{interval:.1f}"
                for mean, interval in zip(curve["mean"], curve["interval"], strict=True)
            )
            lines.append(
                f"| {file.stem} | {seed} | {returns} | {kept} of {run['meta_iterations']} "
                f"| {run['training_seconds'] / 60:.0f} min | {run['env_steps'] / 1e6:.0f} M "
                f"| {run['git']['commit'][:7]} |"
            )
        if runs and file.stem in PAPER:
            returns = " | ".join(f"{mean:.1f}" for mean in PAPER[file.stem])
            lines.append(f"| {file.stem} | the paper, one run | {returns} | | | | |")
    return "\n".join(lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", help="a preset of meta-rl train")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", nargs="+", default=[], metavar="section.key=value")
    parser.add_argument("--runs", type=Path, default=Path("runs", "reproduce"))
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    if arguments.preset is None:
        parser.error("name a preset, or --table")
    file = RESULTS / f"{arguments.preset}.json"
    results = json.loads(file.read_text()) if file.exists() else {"runs": {}}
    for seed in arguments.seeds:
        run = reproduce(arguments.preset, seed, arguments.set, arguments.runs)
        command = ["scripts/reproduce_maml_rl.py", arguments.preset, "--seeds", str(seed)]
        command += ["--set", *arguments.set] if arguments.set else []
        results["runs"][str(seed)] = run | {"command": shlex.join(command)}
        RESULTS.mkdir(exist_ok=True)
        file.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
