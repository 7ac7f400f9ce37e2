#!/usr/bin/env python
"""Says in one table what each algorithm reaches on each family of tasks, beside the papers.

    .venv/bin/python scripts/summary_table.py

From scripts/results/adaptation/*.json and scripts/results/supervised/*.json. A row and a column
appear as soon as there is a result for them. scripts/fill_tables.py puts the table into README.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reproduce_maml_rl import PAPER, SHOWN_STEP, adaptation_curve, decimals, read_results
from reproduce_supervised import IMAGE_PAPER, SINE_PAPER, SINE_STEPS

RESULTS = Path(__file__).parent / "results"
RESULTS_PAGE = "scripts/results/README.md"
COLUMNS = {
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "promp": "ProMP",
    "reptile": "Reptile",
    "pretrained": "trained on all tasks",
    "oracle": "sees the task",
}
SINE_STEP = 10


@dataclass(frozen=True)
class TaskFamily:
    """A row.

    Attributes:
        label: the name of its tasks.
        anchor: the heading of the results' page that tells more.
        results: the results file of each column, below ``results/``, without its ending.
    """

    label: str
    anchor: str
    results: Mapping[str, str]


def rl_family(label: str, preset: str) -> TaskFamily:
    """Tasks of reinforcement learning, by the preset's name."""
    names = {column: column for column in COLUMNS} | {"fomaml": "first_order"}
    files = {column: f"adaptation/{preset}-{method}" for column, method in names.items()}
    return TaskFamily(label, "reinforcement-learning", files)


def supervised_family(label: str, preset: str, *columns: str) -> TaskFamily:
    """Supervised tasks, by the preset's name, and the columns that share them."""
    files = {column: f"supervised/{preset}_{column}" for column in columns}
    if "maml" in columns:
        files["maml"] = f"supervised/{preset}"
    return TaskFamily(label, "supervised-tasks", files)


FAMILIES = (
    rl_family("2D navigation", "navigation"),
    rl_family("HalfCheetahVel, paper's scale", "half_cheetah_vel_rllab"),
    rl_family("HalfCheetahDir, paper's scale", "half_cheetah_dir_rllab"),
    rl_family("HalfCheetahVel, Gymnasium's scale", "half_cheetah_vel"),
    rl_family("HalfCheetahDir, Gymnasium's scale", "half_cheetah_dir"),
    supervised_family("sinusoids", "sine", "maml", "fomaml", "pretrained", "oracle"),
    supervised_family("sinusoids of Reptile's example", "sine", "reptile"),
    supervised_family("Omniglot, 5-way 1-shot", "omniglot_5way_1shot", "maml", "fomaml", "reptile"),
    supervised_family("Omniglot, 20-way 1-shot", "omniglot_20way_1shot", "maml", "reptile"),
    supervised_family("Omniglot, 3-way 1-shot", "omniglot_3way_1shot", "reptile"),
    supervised_family("mini-ImageNet, 5-way 1-shot", "mini_imagenet_5way_1shot", "maml"),
)


def table(results: Path = RESULTS) -> str:
    """The table; without a result for a row or a column, it is left out."""
    rows = []
    for family in FAMILIES:
        cells = {column: cell(results / f"{name}.json") for column, name in family.results.items()}
        if any(cells.values()):
            rows.append((family, cells))
    columns = [column for column in COLUMNS if any(cells.get(column) for _, cells in rows)]
    lines = [
        f"| | {' | '.join(COLUMNS[column] for column in columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for family, cells in rows:
        shown = " | ".join(cells.get(column, "") for column in columns)
        lines.append(f"| [{family.label}]({RESULTS_PAGE}#{family.anchor}) | {shown} |")
    return "\n".join(lines)


def cell(file: Path) -> str:
    """Our number, the mean over seeds, and the paper's in parentheses; nothing without a file."""
    if not file.exists():
        return ""
    if file.parent.name == "adaptation":
        preset, _, method = file.stem.partition("-")
        return return_cell(read_results(file), PAPER.get(preset, {}).get(method, ()))
    runs = json.loads(file.read_text())["runs"]
    if file.stem.startswith("sine"):
        return sine_cell(runs, file.stem)
    return image_cell(runs, IMAGE_PAPER.get(file.stem, ""))


def return_cell(runs: Mapping[str, Mapping[str, Any]], paper: tuple[str, ...]) -> str:
    """The return after ``SHOWN_STEP`` adaptation steps; of an oracle, which has none, at once."""
    curves = [adaptation_curve(run) for run in runs.values()]
    step = min(SHOWN_STEP, len(curves[0].mean) - 1)
    mean = float(np.mean([curve.mean[step] for curve in curves]))
    published = paper[step].partition(" ")[0] if step < len(paper) else ""
    return with_paper(f"{mean:.{decimals(mean)}f}", published)


def sine_cell(runs: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """The loss after ``SINE_STEP`` steps; of an oracle, which has none, at once."""
    losses = [kept_curve(run)["loss"]["mean"] for run in runs.values()]
    mean = float(np.mean([loss[min(SINE_STEP, len(loss) - 1)] for loss in losses]))
    # The papers' numbers are those of the steps after the first column.
    published = SINE_PAPER.get(name)
    text = f"{published[SINE_STEPS.index(SINE_STEP) - 1]:.2f}" if published else ""
    return with_paper(f"{mean:.2f}", text)


def image_cell(runs: Mapping[str, Mapping[str, Any]], paper: str) -> str:
    """The accuracy after the last adaptation step, in %."""
    accuracies = [kept_curve(run)["accuracy"]["mean"][-1] for run in runs.values()]
    return with_paper(f"{100 * float(np.mean(accuracies)):.1f} %", paper.partition(" ")[0])


def kept_curve(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The curve of the iteration that a supervised training kept."""
    return list(run["curves"].values())[-1]


def with_paper(ours: str, published: str) -> str:
    """Ours, and what was published where there is a number."""
    return f"{ours} ({published})" if published else ours


if __name__ == "__main__":
    print(table())
