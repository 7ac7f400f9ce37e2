"""What the settings of a sweep reach, on the screen."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from meta_rl.training.adaptation_curve import AdaptationCurve
from meta_rl.training.checkpoint import read_best
from meta_rl.training.evaluation_summary import BOOTSTRAP, interquartile_means
from meta_rl.training.evaluation_table import read_test_curves
from meta_rl.training.sweep.index import SweepRun
from meta_rl.training.sweep.plan import short_labels

_SEED = "run.seed"


def print_sweep_table(console: Console, runs: Sequence[SweepRun]) -> None:
    """Prints a row per setting: the interquartile mean over its seeds at each adaptation step.

    Args:
        console: where to.
        runs: finished ones; nothing is printed where there are none.

    Raises:
        EvaluationTableError, CheckpointError: a run's files are damaged.
    """
    groups: dict[tuple[tuple[str, str], ...], list[AdaptationCurve]] = {}
    for run in runs:
        curve = kept_curve(run)
        if curve is not None:
            setting = tuple((name, value) for name, value in run.varied.items() if name != _SEED)
            groups.setdefault(setting, []).append(curve)
    if not groups:
        return
    rows = {setting: _cells(curves) for setting, curves in groups.items()}
    num_steps = max(map(len, rows.values()))
    table = Table(
        title="Return on test tasks: interquartile mean over seeds and tasks [95 % interval]",
        title_justify="left",
    )
    for label in short_labels([name for name, _ in next(iter(groups))]).values():
        table.add_column(label, justify="right")
    table.add_column("seeds", justify="right")
    for step in range(num_steps):
        table.add_column("1 step" if step == 1 else f"{step} steps", justify="right")
    for setting, cells in rows.items():
        missing = [""] * (num_steps - len(cells))
        table.add_row(*(value for _, value in setting), str(len(groups[setting])), *cells, *missing)
    console.print(table)
    if any(len(curves) > 1 for curves in groups.values()):
        console.print(f"In brackets: {BOOTSTRAP}.", soft_wrap=True, highlight=False, markup=False)


def kept_curve(run: SweepRun) -> AdaptationCurve | None:
    """The curve on the test tasks of the iteration that did best on the validation tasks."""
    best = read_best(run.path)
    if best is None:
        return None
    return read_test_curves(run.path / "evaluation.csv").get(best.meta_iteration)


def _cells(curves: Sequence[AdaptationCurve]) -> list[str]:
    means = interquartile_means(curves)
    if len(curves) == 1:
        return [f"{mean:.2f}" for mean in means.mean]
    return [
        f"{mean:.2f}\n[{low:.2f}, {high:.2f}]"
        for mean, low, high in zip(means.mean, means.low, means.high, strict=True)
    ]
