"""What the settings of a sweep reach, on the screen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from meta_rl.evaluation.evaluation_summary import (
    BOOTSTRAP,
    interquartile_means_of_scores,
)
from meta_rl.launch.index import SweepRun
from meta_rl.launch.plan import short_labels
from meta_rl.reporting.shown_steps import shown_steps
from meta_rl.runs.best_checkpoint import read_best
from meta_rl.runs.evaluation_table import read_test_scores
from meta_rl.runs.plain_line import PlainTable, print_line, print_table

_SEED = "run.seed"
_RETURN = "episode_return"


@dataclass(frozen=True)
class KeptScore:
    """What the iteration that a run has kept reaches on the test tasks.

    Attributes:
        quantity: its name, as in ``evaluation.csv``.
        score: mean of each task and adaptation step, [task, adaptation_step].
    """

    quantity: str
    score: np.ndarray


def print_sweep_table(console: Console, runs: Sequence[SweepRun]) -> None:
    """Prints a row per setting: the interquartile mean over its seeds at each adaptation step.

    Args:
        console: where to.
        runs: finished ones; nothing is printed where there are none.

    Raises:
        EvaluationTableError, CheckpointError: a run's files are damaged.
    """
    groups: dict[tuple[tuple[str, str], ...], list[KeptScore]] = {}
    for run in runs:
        kept = kept_score(run)
        if kept is not None:
            setting = tuple((name, value) for name, value in run.varied.items() if name != _SEED)
            groups.setdefault(setting, []).append(kept)
    if not groups:
        return
    quantity = next(iter(groups.values()))[0].quantity
    steps = shown_steps(max(kept.score.shape[1] for group in groups.values() for kept in group))
    measure = "Return" if quantity == _RETURN else quantity.capitalize()
    table = PlainTable()
    for label in short_labels([name for name, _ in next(iter(groups))]).values():
        table.add_column(label, justify="right", overflow="fold")
    table.add_column("seeds", justify="right")
    for step in steps:
        table.add_column("1 step" if step == 1 else f"{step} steps", justify="right")
    for setting, group in groups.items():
        cells = _cells([kept.score for kept in group], 2 if quantity == _RETURN else 3)
        shown = [cells[step] if step < len(cells) else "" for step in steps]
        table.add_row(*(value for _, value in setting), str(len(group)), *shown)
    title = f"{measure} on test tasks: interquartile mean over seeds and tasks [95 % interval]"
    print_table(console, title, table)
    if any(len(group) > 1 for group in groups.values()):
        print_line(console, f"In brackets: {BOOTSTRAP}.")


def kept_score(run: SweepRun) -> KeptScore | None:
    """On the test tasks, for the iteration that did best on the validation tasks."""
    best = read_best(run.path)
    if best is None:
        return None
    quantity, scores = read_test_scores(run.path / "evaluation.csv")
    score = scores.get(best.meta_iteration)
    return None if score is None else KeptScore(quantity, score)


def _cells(scores: Sequence[np.ndarray], num_digits: int) -> list[str]:
    means = interquartile_means_of_scores(scores)
    if len(scores) == 1:
        return [f"{mean:.{num_digits}f}" for mean in means.mean]
    return [
        f"{mean:.{num_digits}f}\n[{low:.{num_digits}f}, {high:.{num_digits}f}]"
        for mean, low, high in zip(means.mean, means.low, means.high, strict=True)
    ]
