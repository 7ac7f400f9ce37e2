"""Adaptation on the screen: values per step, and which tasks gain or lose by adapting."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console

from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.comparison import Comparison
from meta_rl.evaluation.evaluation_summary import (
    BOOTSTRAP,
    TaskGains,
    env_steps_used,
    interquartile_means,
    mean_curve,
    task_gains,
)
from meta_rl.rollouts.task_words import shown_entries
from meta_rl.runs.plain_line import PlainTable, print_line, print_table

_NUM_BEST_AND_WORST = 3
_MAX_LOSING = 10
_FIRST_STEPS, _EVERY = 20, 10


def print_adaptation_curves(
    console: Console,
    curves: Mapping[str, AdaptationCurve],
    tasks: str = "",
    *,
    title: str = "",
    further_columns: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """A table with a row per adaptation step, so that any number fits, and columns per model.

    Each number has its 95 % interval over tasks. Of many steps, the first and every tenth are
    shown, and the last.

    Args:
        console: where to.
        curves: by the name of the model; some may have fewer steps than others.
        tasks: where the tasks are from, which completes "on ..." in the title.
        title: in place of that.
        further_columns: to the right, an entry per adaptation step.
    """
    of_episodes = next(iter(curves.values())).counts_episodes
    title = title or (f"Return on {tasks}" if of_episodes else f"On {tasks}")
    columns: dict[str, Sequence[str]] = {}
    for name, curve in curves.items():
        for quantity, (mean, interval) in curve.means.items():
            heading = name if of_episodes else f"{quantity}, {name}"
            digits = 2 if of_episodes else 3
            columns[heading] = [
                _with_interval(*pair, digits) for pair in zip(mean, interval, strict=True)
            ]
    columns |= further_columns or {}
    table = PlainTable()
    table.add_column("adaptation step", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    for step in _shown_steps(max(map(len, columns.values())) - 1):
        cells = (column[step] if step < len(column) else "" for column in columns.values())
        table.add_row(str(step), *cells)
    print_table(console, f"{title} (± 95 % over tasks)", table)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Prints what ``meta-rl evaluate`` found out."""
    runs = [group for group in comparison.groups if not group.is_reference]
    first = runs[0]
    further = {}
    if len(first.models) > 1:
        means = interquartile_means(first.curves)
        further["interquartile mean"] = [
            f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            for mean, low, high in zip(means.mean, means.low, means.high, strict=True)
        ]
    if first.env_steps:
        used = env_steps_used(first.env_steps)
        further["env steps used"] = [f"{steps:,.0f}" for steps in used]
    print_adaptation_curves(
        console,
        {group.name: mean_curve(group.curves) for group in runs},
        comparison.tasks.words,
        further_columns=further,
    )
    if len(first.models) > 1:
        print_line(console, f"In brackets: {BOOTSTRAP}.")
    # A supervised task has no episodes, whose spread would say what a gain is worth.
    if first.env_steps and len(first.curves[0].mean) > 1:
        gains = task_gains(first.curves)
        print_tasks(console, gains, comparison.task_parameter_names)
        print_line(console, losing_sentence(gains))
    references = {g.name: mean_curve(g.curves) for g in comparison.groups if g.is_reference}
    if references:
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


def _shown_steps(num_steps: int) -> list[int]:
    """The first steps, then every tenth and the last: 50 of them would fill the screen."""
    steps = range(num_steps + 1)
    return [k for k in steps if k <= _FIRST_STEPS or k % _EVERY == 0 or k == num_steps]


def _with_interval(mean: float, half_width: float, digits: int = 2) -> str:
    """``-3.05 ±0.28``, without the interval where one task alone allows none."""
    text = f"{mean:.{digits}f}"
    return f"{text} ±{half_width:.{digits}f}" if np.isfinite(half_width) else text
