"""What ``meta-rl report`` does between its options and its file."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import meta_rl
from meta_rl.evaluation.evaluation_job import LoadedGroup, TaskChoice, compare
from meta_rl.evaluation.packaged_runs import is_packaged
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.problems.evaluation import Evaluation
from meta_rl.reading import SentenceError
from meta_rl.reporting.report.page import render_page
from meta_rl.reporting.report.recorded_replays import ShownTask, record_replays
from meta_rl.reporting.report.report_data import report_data
from meta_rl.reporting.report.run_record import RunRecord, read_run, run_dir_of
from meta_rl.reporting.report.task_choice import choose_tasks
from meta_rl.rollouts.environments import EnvironmentFault
from meta_rl.runs.atomic_files import write_text_atomically
from meta_rl.runs.best_checkpoint import read_best
from meta_rl.runs.run_directory import is_sweep

_NUM_REPLAYED_TASKS = 6
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
    records = [read_run(saved) for saved in loaded[0].policies]
    replayed = records[_median_run([record.saved for record in records])]
    kept: list[Evaluation] = []

    def keep(saved: SavedModel, evaluation: Evaluation) -> None:
        if saved is replayed.saved:
            kept.append(evaluation)

    comparison = compare(loaded, choice, note, keep)
    note(f"Replaying episodes of {replayed.name}")
    replays, problems = _replays(replayed, kept[0])
    warnings = [warning for record in records for warning in record.warnings]
    data = report_data(
        records,
        comparison,
        replays,
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


def _replays(record: RunRecord, evaluation: Evaluation) -> tuple[list[ShownTask], list[str]]:
    """Replays, or none and a sentence why: a report without them is a report still."""
    chosen = choose_tasks(evaluation.curve.episode_return.mean(-1), _NUM_REPLAYED_TASKS)
    try:
        replays = record_replays(record.saved.config, evaluation, chosen, num_paths=_NUM_PATHS)
    except EnvironmentFault as fault:
        return [], [f"There are no replays: {fault}"]
    return replays, []


def _median_run(policies: Sequence[SavedModel]) -> int:
    """The run of median validation score, of those that have one; else the first."""
    scores = []
    for index, saved in enumerate(policies):
        best = read_best(run_dir_of(saved.path))
        if best is not None:
            scores.append((best.score, index))
    return sorted(scores)[(len(scores) - 1) // 2][1] if scores else 0


def _check_absent(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise ReportError(f"{path} exists and is not overwritten; --force replaces it")
