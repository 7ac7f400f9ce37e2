"""Adaptation on the screen: return per step, and which tasks gain or lose by adapting."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console

from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.comparison import PolicyGroup
from meta_rl.evaluation.evaluation_summary import (
    BOOTSTRAP,
    TaskGains,
    env_steps_used,
    interquartile_means,
    mean_curve,
    task_gains,
)
from meta_rl.problems.evaluation_tasks import TaskOrigin
from meta_rl.rollouts.task_words import shown_entries
from meta_rl.runs.plain_line import PlainTable, print_line, print_table

_NUM_BEST_AND_WORST = 3
_MAX_LOSING = 10


def print_adaptation_curves(
    console: Console,
    curves: Mapping[str, AdaptationCurve],
    *,
    title: str = "Return",
    further_columns: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """A table with a row per adaptation step, so that any number fits, and a column per policy.

    Each return has its 95 % interval over tasks.

    Args:
        console: where to.
        curves: by the name of the policy; some may have fewer steps than others.
        title: above the table.
        further_columns: to the right, an entry per adaptation step.
    """
    columns: dict[str, Sequence[str]] = {
        name: [*map(_with_interval, curve.mean, curve.interval)] for name, curve in curves.items()
    }
    columns |= further_columns or {}
    table = PlainTable()
    table.add_column("adaptation step", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    for step in range(max(map(len, columns.values()))):
        cells = (column[step] if step < len(column) else "" for column in columns.values())
        table.add_row(str(step), *cells)
    print_table(console, f"{title} (± 95 % over tasks)", table)


def print_comparison(
    console: Console,
    groups: Sequence[PolicyGroup],
    task_parameter_names: Sequence[str],
    origin: TaskOrigin,
) -> None:
    """Prints what ``meta-rl evaluate`` found out.

    Args:
        console: where to.
        groups: the runs, then the references.
        task_parameter_names: of the environment.
        origin: where the tasks are from.
    """
    runs = groups[0]
    env_steps = env_steps_used([policy.env_steps for policy in runs.policies])
    further = {}
    if len(runs.policies) > 1:
        means = interquartile_means(runs.curves)
        further["interquartile mean"] = [
            f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            for mean, low, high in zip(means.mean, means.low, means.high, strict=True)
        ]
    further["env steps used"] = [f"{steps:,.0f}" for steps in env_steps]
    print_adaptation_curves(
        console,
        {runs.name: mean_curve(runs.curves)},
        title=f"Return on {origin.words}",
        further_columns=further,
    )
    if len(runs.policies) > 1:
        print_line(console, f"In brackets: {BOOTSTRAP}.")
    if len(env_steps) > 1:
        gains = task_gains(runs.curves)
        print_tasks(console, gains, task_parameter_names)
        print_line(console, losing_sentence(gains))
    if references := {group.name: mean_curve(group.curves) for group in groups[1:]}:
        print_adaptation_curves(console, references, title="References, on the same tasks")


def losing_sentence(gains: TaskGains) -> str:
    """How often adapting loses return, and how often by more than chance explains."""
    losing, clearly = gains.num_losing_runs.sum(), gains.num_clearly_losing_runs.sum()
    pairs = len(gains.task) * gains.num_runs
    unit = "tasks" if gains.num_runs == 1 else "pairs of run and task"
    return (
        f"Adapting loses return on {losing} of {pairs} {unit} ({gains.losing_share:.1%}), on "
        f"{clearly} of them by more than the 95 % interval of the loss."
    )


def print_tasks(console: Console, gains: TaskGains, names: Sequence[str]) -> None:
    """A table of the best and the worst tasks and of those that lose most by adapting.

    Of a task with many entries, the first and the last are shown.

    Args:
        console: where to.
        gains: of all tasks.
        names: of the task parameters.
    """
    notes = _notable_tasks(gains)
    shown = shown_entries(len(names))
    table = PlainTable()
    for entry in shown:
        table.add_column("..." if entry is None else names[entry], justify="right")
    for heading in ("before", "after", "gain ± 95 %"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for index, note in notes.items():
        table.add_row(
            *("..." if entry is None else f"{gains.task[index, entry]:.3g}" for entry in shown),
            f"{gains.before[index]:.2f}",
            f"{gains.after[index]:.2f}",
            _with_interval(gains.gain[index], gains.interval[index]),
            note,
        )
    print_table(console, "Tasks, by return after adapting", table)
    if None in shown:
        print_line(console, f"{len(shown) - 1} of the {len(names)} entries of a task are shown.")


def _notable_tasks(gains: TaskGains) -> dict[int, str]:
    """The best, the worst, and those that lose most; by return, and what is notable on each.

    Few tasks are shown all.
    """
    order = np.argsort(-gains.after, kind="stable")
    few = len(order) <= 2 * _NUM_BEST_AND_WORST
    num_named = 1 if few else _NUM_BEST_AND_WORST
    best, worst = order[:num_named], order[-num_named:]
    losing = np.flatnonzero(gains.num_losing_runs)
    losing = losing[np.argsort(gains.gain[losing], kind="stable")][:_MAX_LOSING]
    notes = {}
    for index in order.tolist():
        words = ["best"] if index in best else ["worst"] if index in worst else []
        if gains.num_losing_runs[index]:
            words.append(_loss(gains, index))
        if few or index in best or index in worst or index in losing:
            notes[index] = ", ".join(words)
    return notes


def _loss(gains: TaskGains, index: int) -> str:
    if gains.num_runs == 1:
        clearly = gains.num_clearly_losing_runs[index] > 0
        return "loses" if clearly else "loses, within interval"
    return f"loses in {gains.num_losing_runs[index]} of {gains.num_runs} runs"


def _with_interval(mean: float, half_width: float) -> str:
    """``-3.05 ±0.28``, without the interval where one task alone allows none."""
    return f"{mean:.2f} ±{half_width:.2f}" if np.isfinite(half_width) else f"{mean:.2f}"
