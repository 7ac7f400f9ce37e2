#!/usr/bin/env python
"""Trains presets of supervised tasks and prints our numbers beside the published ones.

    .venv/bin/python scripts/reproduce_supervised.py sine sine_pretrained --seeds 1 2 3
    .venv/bin/python scripts/reproduce_supervised.py omniglot_5way_1shot \
        --set few_shot.path=FILE run.meta_iterations=6000
    .venv/bin/python scripts/reproduce_supervised.py gradients --set few_shot.path=FILE
    .venv/bin/python scripts/reproduce_supervised.py --table

A seed that was interrupted is resumed, and a finished one is not trained again. Results go to
scripts/results/supervised/; --table prints the README's tables from these files. "gradients" trains
omniglot_gradients once for every combination of Reptile's inner gradients.
"""

import argparse
import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from meta_rl.config import load_config
from meta_rl.curves.adaptation_curve import half_width
from meta_rl.training.jobs import complete_run

RESULTS = Path(__file__).parent / "results" / "supervised"
# Mean squared error after 1, 5 and 10 steps on K = 5 points: Finn et al. 2017, table 2 (appendix).
SINE_STEPS = (0, 1, 5, 10)
SINE_PAPER = {"sine": (0.67, 0.38, 0.35), "sine_pretrained": (2.41, 2.23, 2.19)}
# Accuracy in % on 1-shot tasks: Finn et al. 2017, table 1; Nichol et al. 2018, table 2,
# transductive, and the model of their browser demo.
IMAGE_PAPER = {
    "omniglot_5way_1shot": "98.7 ±.4",
    "omniglot_5way_1shot_fomaml": "98.3 ±.5",
    "omniglot_5way_1shot_reptile": "97.68 ±.04",
    "omniglot_20way_1shot": "95.8 ±.3",
    "omniglot_20way_1shot_reptile": "89.43 ±.14",
    "omniglot_3way_1shot_reptile": "93.3 ±1.2",
    "mini_imagenet_5way_1shot": "48.70",
}
GRADIENTS = {
    "g1": (1, 0, 0, 0),
    "g1+g2": (1, 1, 0, 0),
    "(g1+g2)/2": (0.5, 0.5, 0, 0),
    "g2": (0, 1, 0, 0),
    "g1+g2+g3": (1, 1, 1, 0),
    "(g1+g2+g3)/3": (1 / 3, 1 / 3, 1 / 3, 0),
    "g3": (0, 0, 1, 0),
    "g1+g2+g3+g4": (1, 1, 1, 1),
    "(g1+g2+g3+g4)/4": (0.25, 0.25, 0.25, 0.25),
    "g4": (0, 0, 0, 1),
}
GRADIENT_STEMS = {
    label: "gradients " + label.replace("/", "_over_").replace("(", "").replace(")", "")
    for label in GRADIENTS
}
# Settings that name a place on this machine.
PLACES = ("few_shot.path", "run.dir")


def reproduce(preset: str, name: str, seed: int, settings: list[str], runs: Path) -> dict[str, Any]:
    """Trains one seed, or goes on with it, and returns what the results file keeps of it."""
    path = runs / f"{name}-seed{seed}"
    complete_run(path, load_config(preset, [*settings, f"run.seed={seed}"]), preset, Console())
    return summarise(path)


def summarise(path: Path) -> dict[str, Any]:
    """The curves on the test tasks, what the run cost, and what it was run on."""
    records = [json.loads(line) for line in (path / "metrics.jsonl").open()]
    facts = json.loads((path / "run.json").read_text())
    return {
        "curves": test_curves(path / "evaluation.csv"),
        "meta_iterations": records[-1]["meta_iteration"],
        "training_seconds": records[-1]["seconds_total"],
        **{key: facts[key] for key in ("git", "versions", "hardware")},
        "commits_of_resumes": [resumed["git"] for resumed in facts.get("resumed", [])],
    }


def test_curves(file: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Mean and interval over test tasks per adaptation step, by meta-iteration and quantity."""
    with file.open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "test"]
    curves: dict[str, dict[str, dict[str, list[float]]]] = {}
    for iteration in sorted({row["meta_iteration"] for row in rows}, key=int):
        mine = [row for row in rows if row["meta_iteration"] == iteration]
        index = np.array([[int(row["task_index"]), int(row["adaptation_step"])] for row in mine])
        curves[iteration] = {}
        for quantity in ("loss", "accuracy"):
            if quantity in mine[0]:
                value = np.full(index.max(0) + 1, np.nan)
                value[tuple(index.T)] = [float(row[quantity]) for row in mine]
                curves[iteration][quantity] = {
                    "mean": value.mean(0).tolist(),
                    "interval": half_width(value).tolist(),
                }
    return curves


def table() -> str:
    """All results as Markdown tables, published numbers beside ours."""
    results = {file.stem: json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}
    sines = {name: r for name, r in results.items() if name.startswith("sine")}
    gradients = {
        label: results.pop(stem) for label, stem in GRADIENT_STEMS.items() if stem in results
    }
    images = {name: r for name, r in results.items() if name not in sines}
    parts = (sine_table(sines), image_table(images), gradient_table(gradients))
    return "\n\n".join(part for part in parts if part)


def sine_table(results: dict[str, Any]) -> str:
    """Mean squared errors per adaptation step; the last column is Reptile's 32nd step."""
    if not results:
        return ""
    lines = [
        "| sinusoids | seed | 0 steps | 1 step | 5 steps | 10 steps | 32 steps | iteration kept "
        "| training | commit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for seed, run in result["runs"].items():
            kept, curve = list(run["curves"].items())[-1]
            loss = curve["loss"]
            cells = [
                f"{loss['mean'][step]:.3f} ±{loss['interval'][step]:.3f}"
                if step < len(loss["mean"])
                else ""
                for step in (*SINE_STEPS, 32)
            ]
            lines.append(f"| {name} | {seed} | {' | '.join(cells)} | {_cost(kept, run)} |")
        if name in SINE_PAPER:
            cells = [f"{value:.2f}" for value in SINE_PAPER[name]]
            lines.append(f"| {name} | the paper | | {' | '.join(cells)} | | | | |")
    return "\n".join(lines)


def image_table(results: dict[str, Any]) -> str:
    """Accuracies after the last adaptation step."""
    if not results:
        return ""
    lines = [
        "| images | seed | accuracy, % | published, % | iteration kept | training | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for seed, run in result["runs"].items():
            kept, curve = list(run["curves"].items())[-1]
            paper = IMAGE_PAPER.get(name, "")
            lines.append(
                f"| {name} | {seed} | {_final_accuracy(curve)} | {paper} | {_cost(kept, run)} |"
            )
    return "\n".join(lines)


def gradient_table(results: dict[str, Any]) -> str:
    """Accuracies of what each sum of inner gradients learned, after the last adaptation step."""
    if not results:
        return ""
    lines = [
        "| sum of Reptile's inner gradients | seed | untrained, % | accuracy, % | iteration kept "
        "| training | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, result in results.items():
        for seed, run in result["runs"].items():
            (_, untrained), *_, (kept, trained) = run["curves"].items()
            lines.append(
                f"| {label} | {seed} | {_final_accuracy(untrained)} | {_final_accuracy(trained)} "
                f"| {_cost(kept, run)} |"
            )
    return "\n".join(lines)


def _final_accuracy(curve: dict[str, Any]) -> str:
    mean, interval = (curve["accuracy"][key][-1] for key in ("mean", "interval"))
    return f"{100 * mean:.1f} ±{100 * interval:.1f}"


def _cost(kept: str, run: dict[str, Any]) -> str:
    return (
        f"{kept} of {run['meta_iterations']} | {run['training_seconds'] / 60:.0f} min "
        f"| {run['git']['commit'][:7]}"
    )


def without_places(settings: list[str]) -> list[str]:
    """Settings as a reader can use them elsewhere."""
    return [
        f"{name}=..." if name in PLACES else f"{name}={value}"
        for name, _, value in (setting.partition("=") for setting in settings)
    ]


def jobs(
    names: list[str], settings: list[str], own_name: str | None
) -> list[tuple[str, str, str, list[str]]]:
    """(results file, name of the run, preset, settings) of everything that is asked for."""
    chosen: list[tuple[str, str, str, list[str]]] = []
    for name in names:
        if name != "gradients":
            chosen.append((own_name or name, own_name or name, name, settings))
            continue
        for label, weights in GRADIENTS.items():
            stem = GRADIENT_STEMS[label]
            slug = stem.removeprefix("gradients ")
            weight = f"meta_update.gradient_weights={list(weights)}"
            chosen.append((stem, slug, "omniglot_gradients", [*settings, weight]))
    return chosen


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", help="presets of meta-rl train, or gradients")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", nargs="+", default=[], metavar="section.key=value")
    parser.add_argument("--name", help="of the results and the runs, where settings are changed")
    parser.add_argument("--runs", type=Path, default=Path("runs", "reproduce"))
    parser.add_argument("--table", action="store_true", help="print the tables and stop")
    arguments = parser.parse_args()
    if not arguments.table and not arguments.presets:
        parser.error("name presets, or --table")
    if arguments.name and len(arguments.presets) != 1:
        parser.error("--name is for one preset")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for stem, name, preset, settings in jobs(arguments.presets, arguments.set, arguments.name):
        file = RESULTS / f"{stem}.json"
        results = json.loads(file.read_text()) if file.exists() else {"runs": {}}
        for seed in arguments.seeds:
            run = reproduce(preset, name, seed, settings, arguments.runs)
            command = ["scripts/reproduce_supervised.py", preset, "--seeds", str(seed)]
            command += ["--name", arguments.name] if arguments.name else []
            command += ["--set", *without_places(settings)] if settings else []
            results["runs"][str(seed)] = run | {"command": shlex.join(command)}
            file.write_text(json.dumps(results, indent=2) + "\n")
    print(table())


if __name__ == "__main__":
    main()
