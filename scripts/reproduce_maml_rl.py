#!/usr/bin/env python
"""Trains an environment's methods with several seeds and adapts each to the same test tasks.

    .venv/bin/python scripts/reproduce_maml_rl.py navigation --seeds 1 2 3 4 5
    .venv/bin/python scripts/reproduce_maml_rl.py half_cheetah_vel --methods maml oracle --seeds 1
    .venv/bin/python scripts/reproduce_maml_rl.py --table

Run again after an interruption, it goes on where it was stopped: a finished training is not
repeated. The iteration that a training keeps was chosen on validation tasks; it is then adapted to
the test tasks, with the functions of ``meta-rl evaluate``. Results go to
scripts/results/adaptation/PRESET-METHOD.json, of which --table prints the README's tables.
"""

import argparse
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.config import Config, ConfigError, load_config
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.comparison import as_reference
from meta_rl.evaluation.evaluation_summary import NUM_RESAMPLES, env_steps_used
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import SavedModel, load_model, untrained_model
from meta_rl.ops.statistics import stratified_bootstrap_interval
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.provenance import describe_process
from meta_rl.training.jobs import complete_run

RESULTS = Path(__file__).parent / "results" / "adaptation"
PRESETS = (
    "navigation",
    "half_cheetah_vel_rllab",
    "half_cheetah_dir_rllab",
    "half_cheetah_vel",
    "half_cheetah_dir",
)
# What each method adds to the environment's preset: an ending of its name, and settings.
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "maml": ("", ()),
    "first_order": ("", ("adaptation.first_order=true",)),
    "pretrained": ("_pretrained", ()),
    "random": ("", ()),
    "oracle": ("_oracle", ()),
}
NUM_STEPS = 4
# Finn et al. 2017, from the raw result files of their code: one training run each, ± over tasks.
PAPER: dict[str, dict[str, tuple[str, ...]]] = {
    "navigation": {
        "maml": ("-40.4", "-11.7 ±2.2", "-3.33 ±0.55", "-3.23 ±0.58"),
        "pretrained": ("-40.8", "-19.7", "-11.7", "-8.47"),
        "random": ("-82.7", "-58.0", "-53.8", "-46.8"),
        "oracle": ("-2.29",),
    },
    "half_cheetah_vel_rllab": {
        "maml": ("-129.5", "-78.6 ±9.9", "-66.6 ±8.9", "-60.8 ±8.6"),
        "pretrained": ("-158.0", "-135.4", "-128.5", "-133.6"),
        "random": ("-254.8", "-254.3", "-246.8", "-230.8"),
        "oracle": ("-54.5",),
    },
    "half_cheetah_dir_rllab": {
        "maml": ("-50.7", "293.2 ±17", "313.5 ±16", "315.7 ±14"),
        "pretrained": ("", "", "", "19.6"),
        "random": ("", "", "", "86.2"),
        "oracle": ("442.7",),
    },
}
SHOWN_STEP = 3  # of the table by seed: the paper's last


def reproduce(
    preset: str, method: str, seed: int, overrides: Sequence[str], runs: Path
) -> dict[str, Any]:
    """Trains one seed, or goes on with it, and returns what the results file keeps of it.

    Raises:
        ConfigError: the settings are not valid, or not those of the run that is there.
        CheckpointError, RunDirectoryError and others: as ``complete_run``.
    """
    ending, settings = METHODS[method]
    name = f"{preset}{ending}"
    config = load_config(name, [*settings, *overrides, f"run.seed={seed}"])
    if not isinstance(config, Config):
        raise ConfigError(f"{name} has supervised tasks; see scripts/reproduce_supervised.py")
    if method == "random":
        saved = untrained_model(SavedModel(Path(name), 0, {}, config))
        return {**untrained_record(), **evaluation_record(saved, preset, overrides)}
    path = runs / f"{preset}-{method}-seed{seed}"
    complete_run(path, config, name, Console())
    return {**training_record(path), **evaluation_record(load_model(path), preset, overrides)}


def evaluation_record(saved: SavedModel, preset: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Adapts a policy to the test tasks, which are the same for all methods of an environment."""
    steps = f"evaluation.num_adaptation_steps={NUM_STEPS}"
    evaluation = evaluate_model(as_reference(saved, load_config(preset, [*overrides, steps])))
    task_return = evaluation.curve.task_value
    return {
        "iteration_kept": saved.meta_iteration,
        "step_sizes": evaluation.step_sizes,
        "env_steps_to_adapt": env_steps_used([evaluation.env_steps]).round().astype(int).tolist(),
        "task_return": task_return.round(2).tolist(),
    }


def training_record(path: Path) -> dict[str, Any]:
    """What a training cost, its returns on validation tasks on the way, what it was run on."""
    records = [json.loads(line) for line in (path / "metrics.jsonl").open()]
    facts = json.loads((path / "run.json").read_text())
    validated = [record for record in records if "validation_return" in record]
    return {
        "meta_iterations": records[-1]["meta_iteration"],
        "env_steps": records[-1]["env_steps"],
        "training_seconds": round(records[-1]["seconds_total"], 1),
        "learning": {
            "meta_iteration": [record["meta_iteration"] for record in validated],
            "env_steps": [record["env_steps"] for record in validated],
            "seconds": [round(record["seconds_total"], 1) for record in validated],
            "validation_return": [
                [round(value, 2) for value in record["validation_return"]] for record in validated
            ],
        },
        **provenance(facts),
        "commits_of_resumes": [resumed["git"] for resumed in facts.get("resumed", [])],
    }


def untrained_record() -> dict[str, Any]:
    """As ``training_record``, of no training."""
    nothing = {"meta_iterations": 0, "env_steps": 0, "training_seconds": 0.0}
    return {**nothing, **provenance(describe_process())}


def provenance(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``run.json`` on which numbers depend."""
    return {key: facts[key] for key in ("git", "versions", "hardware")}


def write_result(file: Path, seed: int, run: Mapping[str, Any]) -> None:
    """Adds one seed to a results file, or replaces it; another process may add others."""
    runs = read_results(file) | {str(seed): dict(run)}
    ordered = {key: runs[key] for key in sorted(runs, key=int)}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(file, compact_json({"runs": ordered}))


def compact_json(value: Any) -> str:
    """JSON with a list of numbers on one line, or a file would be as long as it has numbers."""
    text = json.dumps(value, indent=1) + "\n"
    return re.sub(r"\[[^][{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), text)


def read_results(file: Path) -> dict[str, dict[str, Any]]:
    """The runs of a results file by seed; none where there is no file."""
    return dict(json.loads(file.read_text())["runs"]) if file.exists() else {}


def table(results: Path = RESULTS) -> str:
    """The results as two Markdown tables: by method over seeds, and seed by seed."""
    steps = " | ".join(f"{step} step{'s' * (step != 1)}" for step in range(NUM_STEPS + 1))
    means = [
        f"| environment | method | seeds | {steps} | env steps | training | commit |",
        "|---" * (NUM_STEPS + 7) + "|",
    ]
    seeds = [
        f"| environment | method | return after {SHOWN_STEP} steps (of the oracle: at once) "
        "± 95 % over tasks, and the iteration kept, of each seed |",
        "|---|---|---|",
    ]
    for preset in PRESETS:
        for method in METHODS:
            runs = read_results(results / f"{preset}-{method}.json")
            if not runs:
                continue
            means.append(
                f"| {preset} | {method} | {len(runs)} | {_mean_row(list(runs.values()))} |"
            )
            published = PAPER.get(preset, {}).get(method)
            if published:
                cells = [*published, *[""] * (NUM_STEPS + 1 - len(published))]
                means.append(f"| | the paper's {method} | 1 | {' | '.join(cells)} | | | |")
            each = [_seed_cell(seed, run) for seed, run in runs.items()]
            seeds.append(f"| {preset} | {method} | {', '.join(each)} |")
    return "\n".join(means) + "\n\n" + "\n".join(seeds)


def _mean_row(runs: Sequence[Mapping[str, Any]]) -> str:
    cells = return_cells([adaptation_curve(run) for run in runs])
    cells += [""] * (NUM_STEPS + 1 - len(cells))
    env_steps = np.mean([run["env_steps"] for run in runs])
    minutes = np.mean([run["training_seconds"] for run in runs]) / 60
    commits = dict.fromkeys(run["git"]["commit"][:7] for run in runs)
    cost = [f"{env_steps / 1e6:.0f} M", f"{minutes:.0f} min"] if env_steps else ["0", ""]
    return " | ".join([*cells, *cost, ", ".join(commits)])


def return_cells(curves: Sequence[AdaptationCurve]) -> list[str]:
    """The mean over seeds and tasks at each step, with an interval over seeds, or one seed's own.

    The mean, not the interquartile one, because that is what the paper has.
    """
    if len(curves) == 1:
        pairs = zip(curves[0].mean, curves[0].interval, strict=True)
        return [_with_interval(mean, interval) for mean, interval in pairs]
    cells = []
    for score_RM in np.stack([curve.task_value.T for curve in curves], axis=1):
        low, high = stratified_bootstrap_interval(
            score_RM,
            lambda score: score.mean(-1),
            rng=np.random.default_rng(0),
            num_resamples=NUM_RESAMPLES,
            confidence=0.95,
        )
        mean = float(score_RM.mean())
        low_and_high = f"[{low:.{decimals(mean)}f}, {high:.{decimals(mean)}f}]"
        cells.append(f"{mean:.{decimals(mean)}f} {low_and_high}")
    return cells


def _seed_cell(seed: str, run: Mapping[str, Any]) -> str:
    curve = adaptation_curve(run)
    step = min(SHOWN_STEP, len(curve.mean) - 1)
    kept = f" at {run['iteration_kept']}" if run["meta_iterations"] else ""
    return f"{seed}: {_with_interval(curve.mean[step], curve.interval[step])}{kept}"


def adaptation_curve(run: Mapping[str, Any]) -> AdaptationCurve:
    """The curve of a run, of which the mean return on each task was kept."""
    task_return = np.array(run["task_return"])
    return AdaptationCurve(np.arange(len(task_return))[:, None], task_return[..., None])


def _with_interval(mean: float, interval: float) -> str:
    return f"{mean:.{decimals(mean)}f} ±{interval:.{decimals(mean)}f}"


def decimals(mean: float) -> int:
    """How many are shown of a return."""
    return 2 if abs(mean) < 10 else 1


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", help="a preset of meta-rl train")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", nargs="+", default=[], metavar="section.key=value")
    parser.add_argument("--runs", type=Path, default=Path("runs", "reproduce"))
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--table", action="store_true", help="print the tables and stop")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.results))
        return
    if arguments.preset is None:
        parser.error("name a preset, or --table")
    for seed in arguments.seeds:
        for method in arguments.methods:
            command = [arguments.preset, "--methods", method, "--seeds", str(seed)]
            command += ["--set", *arguments.set] if arguments.set else []
            with stop_on_signals(), one_sentence_errors():
                run = reproduce(arguments.preset, method, seed, arguments.set, arguments.runs)
            run["command"] = shlex.join(["scripts/reproduce_maml_rl.py", *command])
            write_result(arguments.results / f"{arguments.preset}-{method}.json", seed, run)


if __name__ == "__main__":
    main()
