"""What ``meta-rl report`` does between its options and its file."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import meta_rl
from meta_rl.config import Config, SineRunConfig
from meta_rl.evaluation.evaluation_job import LoadedGroup, TaskChoice, compare
from meta_rl.evaluation.evaluator import AdaptedTasks, evaluate_examples
from meta_rl.evaluation.packaged_runs import is_packaged
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.problems.evaluation import Evaluation
from meta_rl.reading import SentenceError
from meta_rl.reporting.report.fits_data import fits_data
from meta_rl.reporting.report.page import render_page
from meta_rl.reporting.report.recorded_replays import ShownTask, record_replays
from meta_rl.reporting.report.report_data import report_data
from meta_rl.reporting.report.run_record import RunRecord, read_run, run_dir_of
from meta_rl.reporting.report.task_choice import choose_tasks
from meta_rl.rollouts.environments import EnvironmentFault
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.best_checkpoint import read_best
from meta_rl.runs.run_directory import is_sweep

_NUM_SHOWN_TASKS = 6
_GRID_SIZE = 101
_NUM_PATHS = 5


class ReportError(SentenceError):
    """A report that cannot be made or written; the message is one sentence."""


def report_path(runs: Sequence[Path], out: Path | None, *, force: bool) -> Path:
    """Where the report goes, found out before anything is computed.

    Args:
        runs: as the user named them.
        out: as the user wants it; None puts it into the run's directory or the sweep's, or here for
            several and for a run of the package.
        force: replace an earlier report.

    Raises:
        ReportError: there is a file already, or no folder that can be written.
    """
    path = out or _home(runs) / "report.html"
    _check_absent(path, force=force)
    if path.is_dir():
        raise ReportError(f"{path} is a folder; --out should name a file")
    if not path.parent.is_dir():
        raise ReportError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ReportError(f"{path} cannot be written: the folder {path.parent} is read-only")
    return path


def _home(runs: Sequence[Path]) -> Path:
    if len(runs) > 1 or is_packaged(runs[0]):
        return Path()
    return runs[0] if is_sweep(runs[0]) else run_dir_of(runs[0])


def make_report(
    loaded: Sequence[LoadedGroup], choice: TaskChoice, note: Callable[[str], None]
) -> str:
    """Evaluates the runs, plays some episodes again and returns the page.

    Args:
        loaded: the runs, then the references.
        choice: which tasks.
        note: called with a sentence where something begins.

    Raises:
        TaskSelectionError, CheckpointError, DeviceError, EnvironmentFault, NumericalError: as
            ``compare``.
    """
    models = [model for group in loaded if not group.is_reference for model in group.models]
    records = [read_run(saved) for saved in models]
    replayed = records[_median_run(loaded[0].models)]
    kept: list[Evaluation | AdaptedTasks] = []

    def keep(saved: SavedModel, found: Evaluation | AdaptedTasks) -> None:
        if saved is replayed.saved:
            kept.append(found)

    comparison = compare(loaded, choice, note, keep)
    replays, fits, problems = _shown(replayed, kept[0], note)
    warnings = [warning for record in records for warning in record.warnings]
    data = report_data(
        records,
        comparison,
        replays,
        fits,
        replayed=replayed,
        warnings=list(dict.fromkeys([*comparison.warnings, *warnings, *problems])),
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=meta_rl.__version__,
    )
    return render_page(data)


def write_report(path: Path, page: str, *, force: bool) -> None:
    """Writes the page, all of it or nothing.

    Raises:
        ReportError: there is a file already, or the page cannot be written.
    """
    _check_absent(path, force=force)
    try:
        write_text_atomically(path, page)
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error.strerror}") from None


def _shown(
    record: RunRecord, found: Evaluation | AdaptedTasks, note: Callable[[str], None]
) -> tuple[list[ShownTask], dict[str, Any] | None, list[str]]:
    """Replays or fitted functions, or neither and why: without them a report is one still."""
    curve, config = found.curve, record.saved.config
    better = -curve.task_value if curve.lower_is_better else curve.task_value
    chosen = choose_tasks(better, _NUM_SHOWN_TASKS, curve.label)
    if isinstance(config, SineRunConfig):
        adapted = evaluate_examples(record.saved, grid_size=_GRID_SIZE)
        return [], fits_data(adapted, chosen, record.name), []
    if not isinstance(found, Evaluation) or not isinstance(config, Config):
        return [], None, []
    note(f"Replaying episodes of {record.name}")
    try:
        return record_replays(config, found, chosen, num_paths=_NUM_PATHS), None, []
    except EnvironmentFault as fault:
        return [], None, [f"There are no replays: {fault}"]


def _median_run(models: Sequence[SavedModel]) -> int:
    """The run of median validation score, of those that have one; else the first."""
    scores = []
    for index, saved in enumerate(models):
        best = read_best(run_dir_of(saved.path))
        if best is not None:
            scores.append((best.score, index))
    return sorted(scores)[(len(scores) - 1) // 2][1] if scores else 0


def _check_absent(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise ReportError(f"{path} exists and is not overwritten; --force replaces it")
