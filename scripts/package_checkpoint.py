#!/usr/bin/env python
"""Puts the kept checkpoint of a finished run into the package, where commands find it by name.

    .venv/bin/python scripts/package_checkpoint.py runs/RUN navigation
    .venv/bin/meta-rl evaluate pretrained/navigation

An earlier one of this name is replaced. Parameters stay as they are; what the trainer needs to go
on, the settings that name places, and most of the metrics are left out. run.json says where the
policy is from, and its returns (losses, accuracies) on the run's test tasks.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from meta_rl.config import AnyConfig, config_from_mapping, config_to_yaml
from meta_rl.curves.adaptation_curve import half_width
from meta_rl.evaluation.packaged_runs import PACKAGED_RUNS
from meta_rl.runs.best_checkpoint import CheckpointError, checkpoint_path, read_best
from meta_rl.runs.checkpoint import load_checkpoint, save_checkpoint
from meta_rl.runs.evaluation_table import EvaluationTableError, read_test_scores
from meta_rl.runs.run_directory import is_finished
from meta_rl.runs.trusted_runs import modules_of

MAX_BYTES = 300_000
# Settings that are of the machine, not of the result.
NEUTRAL = {
    "run.dir": None,
    "run.device": "auto",
    "run.wandb": "disabled",
    "rollout.num_threads": 0,
    "few_shot.path": None,
}


def package(run: Path, name: str, folder: Path = PACKAGED_RUNS) -> Path:
    """Writes ``folder/name``, all of it or nothing.

    Raises:
        CheckpointError: the run is not finished or is of a user's environment, or its checkpoint
            cannot be read or is too large.
        EvaluationTableError: the run's evaluation cannot be read.
    """
    best = read_best(run)
    if best is None or not is_finished(run):
        raise CheckpointError(f"{run} is not a finished run")
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise CheckpointError(f"{name!r} should consist of small letters, digits and underscores")
    checkpoint = load_checkpoint(checkpoint_path(run, best.meta_iteration))
    config = without_machine(checkpoint.config)
    for name, module in modules_of(config).items():
        raise CheckpointError(f"{run} has {name}={module}, a module that the package does not hold")
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        new = Path(temporary, name)
        new.mkdir()
        (new / "config.yaml").write_text(config_to_yaml(config))
        (new / "run.json").write_text(json.dumps(provenance(run, best.meta_iteration), indent=2))
        (new / "metrics.jsonl").write_text("".join(kept_metrics(run)))
        save_checkpoint(new, best.meta_iteration, checkpoint.params, config, {}, best)
        size = sum(file.stat().st_size for file in new.rglob("*"))
        if size > MAX_BYTES:
            raise CheckpointError(f"{run} takes {size:,} bytes, more than {MAX_BYTES:,}")
        shutil.rmtree(folder / name, ignore_errors=True)
        return new.rename(folder / name)


def without_machine(config: AnyConfig) -> AnyConfig:
    """The settings as they are without the places and the threads of a machine."""
    values = config.model_dump(mode="json")
    for setting, value in NEUTRAL.items():
        section, key = setting.split(".")
        if key in values.get(section, {}):
            values[section][key] = value
    return config_from_mapping(values, "the run")


def provenance(run: Path, meta_iteration: int) -> dict[str, Any]:
    """Where the policy is from, and what it reached on the run's test tasks."""
    facts = json.loads((run / "run.json").read_text())
    quantity, scores = read_test_scores(run / "evaluation.csv")
    score = scores[meta_iteration]
    return {
        **{key: facts[key] for key in ("name", "seed", "git", "versions", "hardware")},
        "start_time": facts["start_time"],
        "meta_iteration": meta_iteration,
        f"test_{quantity}": score.mean(0).round(3).tolist(),
        f"test_{quantity}_interval": half_width(score).round(3).tolist(),
    }


def kept_metrics(run: Path) -> list[str]:
    """The lines of meta-iterations with a validation, and the last: a learning curve."""
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [line for line in lines if line == lines[-1] or "validation_score" in json.loads(line)]


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("name", help="what it is called in the package")
    arguments = parser.parse_args()
    try:
        print(package(arguments.run, arguments.name))
    except (CheckpointError, EvaluationTableError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
