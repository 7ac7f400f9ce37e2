#!/usr/bin/env python
"""Measures what each choice that a preset makes is worth: the preset without it, one at a time.

    .venv/bin/python scripts/measure_choices.py --presets navigation --seeds 1 2 3
    .venv/bin/python scripts/measure_choices.py --table

Returns are those on validation tasks; the test tasks choose nothing. Run again after an
interruption, it goes on where it was stopped. Results go to scripts/results/choices.json, of which
--table prints the README's table.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reproduce_maml_rl import (
    decimals,
    provenance,
    read_results,
    training_record,
)
from rich.console import Console

from meta_rl.cli.exits import one_sentence_errors, stop_on_signals
from meta_rl.config import load_config
from meta_rl.evaluation.evaluation_summary import NUM_RESAMPLES
from meta_rl.ops.statistics import stratified_bootstrap_interval
from meta_rl.rollouts.sampler import NumericalError
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.training.jobs import complete_run

RESULTS = Path(__file__).parent / "results" / "choices.json"
STEPS = (1, 2, 3)
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Study:
    """What is changed in a preset.

    Attributes:
        settings: of all trainings, that of the preset as it is included.
        changes: settings in place of the preset's, separated by blanks; each is a training.
    """

    settings: tuple[str, ...]
    changes: tuple[str, ...]


STUDIES = {
    "navigation": Study(
        settings=(),
        changes=(
            "policy.output_scale=1",
            "policy.min_std=1e-6",
            "policy.hidden_sizes=[100,100]",
            "policy.activation=relu",
            "policy.init_std=0.5",
            "adaptation.num_adaptation_steps=1 adaptation.multi_step=false",
            "adaptation.multi_step=false",
            "meta_update.curvature_stride=1",
            # All that the paper has otherwise.
            "policy.output_scale=1 policy.min_std=1e-6 policy.hidden_sizes=[100,100] "
            "policy.activation=relu adaptation.num_adaptation_steps=1 adaptation.multi_step=false "
            "meta_update.curvature_stride=1",
            # What it might have in place of what it has.
            "adaptation.num_adaptation_steps=3",
            "adaptation.inner_step_size=0.1",
            "adaptation.later_step_size_ratio=1",
            "rollout.standardise_advantages=false",
            "rollout.gae_lambda=0.95",
        ),
    ),
    "half_cheetah_vel_rllab": Study(
        settings=(
            *("run.meta_iterations=20", "meta_update.final_max_kl=null", "evaluation.every=10"),
            # The paper's, until half of it proved better.
            "adaptation.inner_step_size=0.1",
        ),
        changes=(
            "policy.init_std=1",
            "policy.init_std=0.2",
            # As many environment steps.
            "adaptation.num_adaptation_steps=1 adaptation.multi_step=false run.meta_iterations=30",
            "policy.output_scale=1",
            "policy.activation=relu",
            "meta_update.max_kl=0.01",
            "meta_update.num_cg_iterations=10 meta_update.damping=1e-5",
            "adaptation.inner_step_size=0.2",
            "adaptation.inner_step_size=0.05",
            "adaptation.inner_step_size=0.025",
            "rollout.standardise_advantages=false",
            "rollout.gae_lambda=0.95",
        ),
    ),
    "half_cheetah_dir": Study(
        settings=("run.meta_iterations=20", "rollout.meta_batch_size=20", "evaluation.every=10"),
        changes=("policy.init_std=1",),
    ),
}


def measure(
    preset: str, change: str, seed: int, settings: Sequence[str], runs: Path
) -> dict[str, Any]:
    """Trains one seed, or goes on with it, and returns what the results file keeps of it.

    Where training breaks off over a number that is not finite, ``stopped`` says which.

    Raises:
        ConfigError: the settings are not valid, or not those of the run that is there.
    """
    settings = [*STUDIES[preset].settings, *settings]
    config = load_config(preset, [*settings, *change.split(), f"run.seed={seed}"])
    path = runs / re.sub(r"[^\w.=-]+", "_", f"{preset}-{change or UNCHANGED}-seed{seed}")
    run = {"preset": preset, "change": change, "seed": seed, "settings": settings}
    try:
        complete_run(path, config, preset, Console())
    except NumericalError as error:
        facts = json.loads((path / "run.json").read_text())
        return {**run, "stopped": str(error), **provenance(facts)}
    record = training_record(path)
    kept = ("meta_iteration", "validation_return")
    record["learning"] = {key: record["learning"][key] for key in kept}
    return {**run, **record}


def write_result(file: Path, run: Mapping[str, Any]) -> None:
    """Adds one training to the results file, or replaces it; another process may add others."""
    name = f"{run['preset']}, {run['change'] or UNCHANGED}, seed {run['seed']}"
    runs = read_results(file) | {name: run}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(run)}" for name, run in runs.items())
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(file, f'{{"runs": {{\n{lines}\n}}}}\n')


def table(file: Path = RESULTS) -> str:
    """The results as a Markdown table, a row per preset and change."""
    after = " | ".join(f"{{}}, {step} step{'s' * (step > 1)}" for step in STEPS)
    lines = [
        f"| | seeds | {after.replace('{}', 'last')} | {after.replace('{}', 'best')} |",
        "|---|---" + "|---" * 2 * len(STEPS) + "|",
    ]
    runs = list(read_results(file).values())
    for preset, study in STUDIES.items():
        mine = [run for run in runs if run["preset"] == preset]
        base = returns_by_seed(mine, "")
        if not base:
            continue
        cells = [f"{mean:.{decimals(mean)}f}" for mean in np.mean(list(base.values()), axis=0)]
        lines.append(f"| **{preset}** | {len(base)} | {' | '.join(cells)} |")
        for change in study.changes:
            lines += change_row(preset, change, mine, base)
    return "\n".join(lines)


def change_row(
    preset: str,
    change: str,
    runs: Sequence[Mapping[str, Any]],
    base: Mapping[int, np.ndarray],
) -> list[str]:
    """The row of a change, or none where nothing was measured: differences to the same seeds."""
    changed = returns_by_seed(runs, change)
    seeds = [seed for seed in base if seed in changed]
    stopped = sum(run["change"] == change and "stopped" in run for run in runs)
    if not seeds and not stopped:
        return []
    cells = [""] * 2 * len(STEPS)
    if seeds:
        own = np.array([base[seed] for seed in seeds])
        difference = np.array([changed[seed] for seed in seeds]) - own
        places = [decimals(mean) for mean in own.mean(0)]
        cells = [difference_cell(*entry) for entry in zip(difference.T, places, strict=True)]
    count = f"{len(seeds)}, {stopped} stopped" if stopped else f"{len(seeds)}"
    return [f"| {described(preset, change)} | {count} | {' | '.join(cells)} |"]


def returns_by_seed(runs: Sequence[Mapping[str, Any]], change: str) -> dict[int, np.ndarray]:
    """Returns of a change's finished trainings: at the last iteration, then at the best, [2 * S].

    The best one is that which training would keep, see ``AdaptationCurve.score``.
    """
    returns = {}
    for run in runs:
        if run["change"] == change and "stopped" not in run:
            validation = np.array(run["learning"]["validation_return"])
            best = validation[:, 1:].mean(1).argmax()
            returns[run["seed"]] = validation[[-1, best]][:, STEPS].reshape(-1)
    return returns


def difference_cell(difference: np.ndarray, places: int) -> str:
    """Mean over seeds, with a bootstrap interval where there are several."""
    text = f"{difference.mean():+.{places}f}"
    if len(difference) == 1:
        return text
    low, high = stratified_bootstrap_interval(
        difference[:, None],
        lambda score: score.mean(-1),
        rng=np.random.default_rng(0),
        num_resamples=NUM_RESAMPLES,
        confidence=0.95,
    )
    return f"{text} [{low:+.{places}f}, {high:+.{places}f}]"


def described(preset: str, change: str) -> str:
    """The settings of a change, with what the study has in their place."""
    own = load_config(preset, STUDIES[preset].settings).model_dump(mode="json")
    words = []
    for setting in change.split():
        name, _, value = setting.partition("=")
        section, key = name.split(".")
        words.append(f"`{name}` {value}, not {json.dumps(own[section][key])}")
    return "; ".join(words)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="+", default=[], metavar="section.key=value")
    parser.add_argument("--runs", type=Path, default=Path("runs", "choices"))
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    arguments = parser.parse_args()
    # A seed of everything first, so that a table is there early.
    for seed in arguments.seeds if not arguments.table else ():
        for preset in arguments.presets:
            for change in ("", *STUDIES[preset].changes):
                with stop_on_signals(), one_sentence_errors():
                    run = measure(preset, change, seed, arguments.set, arguments.runs)
                write_result(arguments.results, run)
    print(table(arguments.results))


if __name__ == "__main__":
    main()
