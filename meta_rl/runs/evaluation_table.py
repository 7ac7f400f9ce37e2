"""``evaluation.csv``: every evaluation episode, or supervised task, as a row per step."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from meta_rl.curves.adaptation_curve import (
    EPISODE_RETURN,
    AdaptationCurve,
    return_curve,
    value_names,
)
from meta_rl.reading import (
    FileError,
    SentenceError,
    parse_integer,
    parse_number,
    read_rows,
)
from meta_rl.runs.line_file import LineFile

_FIRST_COLUMNS = ["meta_iteration", "split", "task_index"]
_LAST_COLUMNS = ["adaptation_step", *value_names((EPISODE_RETURN,))]


class EvaluationTableError(SentenceError):
    """An ``evaluation.csv`` that cannot be read; the message is one sentence."""


class EvaluationTable:
    """Appends the episodes of evaluations.

    Columns: meta_iteration, split, task_index, one per task parameter, adaptation_step, and what
    was found there: episode and episode_return, or the quantities of supervised tasks.

    Args:
        path: the file; an existing one is continued.
        task_parameter_names: names of the entries of a task.
        value_names: names of the last columns.
        resume_from: meta-iterations that the checkpoint to go on from had completed, 0 for a new
            run. Rows past it will be written again, so they are dropped; so are those of the test
            tasks, which are written when a run ends.
    """

    def __init__(
        self,
        path: Path,
        task_parameter_names: Sequence[str],
        value_names: Sequence[str],
        resume_from: int = 0,
    ) -> None:
        header = [*_FIRST_COLUMNS, *task_parameter_names, "adaptation_step", *value_names]
        self._file = LineFile(path, lambda line: _is_row_until(line, resume_from, len(header)))
        if self._file.is_empty:
            self._append([header])

    def write(self, meta_iteration: int, split: str, curve: AdaptationCurve) -> None:
        """Appends one evaluation, all of it or nothing.

        Args:
            meta_iteration: number of completed meta-iterations.
            split: which set of tasks, for example ``"validation"``.
            curve: what adapting did.
        """
        self._append(
            [meta_iteration, split, index, *curve.task[index].tolist(), step, *values]
            for index, step, values in curve.rows()
        )

    def sync(self) -> None:
        """Returns when the rows are on the disk."""
        self._file.sync()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _append(self, rows: Iterable[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.append(text.getvalue())


def read_test_curves(path: Path) -> dict[int, AdaptationCurve]:
    """The adaptation curves on the test tasks, by meta-iteration; none before a run's end.

    Args:
        path: the ``evaluation.csv`` of a run directory.

    Raises:
        EvaluationTableError: it cannot be read, or is not such a table; the line is named.
    """
    header, evaluations = _read_test_rows(path)
    if header[-3:] != _LAST_COLUMNS:
        raise EvaluationTableError(f"{path}, line 1: this is not the header of a run's")
    return {
        meta_iteration: _curve(np.array(evaluations[meta_iteration]), path)
        for meta_iteration in sorted(evaluations)
    }


def read_test_scores(path: Path) -> tuple[str, dict[int, np.ndarray]]:
    """What runs of any kind are compared by, on the test tasks.

    Args:
        path: the ``evaluation.csv`` of a run directory.

    Returns:
        The quantity's name, that of the last column, and its mean over the rows of each task and
        adaptation step, [task, adaptation_step], by meta-iteration; none before a run's end.

    Raises:
        EvaluationTableError: as ``read_test_curves``.
    """
    header, evaluations = _read_test_rows(path)
    # The last of this name, as a task's parameter may have any, in rows without two columns.
    step_column = len(header) - 1 - header[::-1].index("adaptation_step") - 2
    return header[-1], {
        meta_iteration: _scores(np.array(rows), step_column, path)
        for meta_iteration, rows in sorted(evaluations.items())
    }


def _read_test_rows(path: Path) -> tuple[list[str], dict[int, list[list[float]]]]:
    """The header, and the rows of each meta-iteration from their third column on."""
    evaluations: dict[int, list[list[float]]] = {}
    try:
        rows = read_rows(path)
        _, header = next(rows, (1, []))
        if (
            header[:3] != _FIRST_COLUMNS
            or "adaptation_step" not in header[:-1]
            or not header[-1].isidentifier()
        ):
            raise EvaluationTableError(f"{path}, line 1: this is not the header of a run's")
        for line, row in rows:
            if len(row) != len(header):
                raise EvaluationTableError(
                    f"{path}, line {line}: there are {len(row)} columns, not {len(header)}"
                )
            if row[1] == "test":
                evaluations.setdefault(_index(row[0]), []).append(_numbers(row[2:]))
    except (EvaluationTableError, FileError) as error:
        raise EvaluationTableError(str(error)) from None
    except ValueError as error:
        raise EvaluationTableError(f"{path}, line {line}: {error}") from None
    return header, evaluations


def _numbers(row: Sequence[str]) -> list[float]:
    """The task's index and other numbers; of those that were computed, some may not be finite."""
    return [_index(row[0]), *map(_number, row[1:])]


def _index(text: str) -> int:
    index = parse_integer(text)
    if index < 0:
        raise ValueError(f"{text!r} is not an index")
    return index


def _number(text: str) -> float:
    return float(text) if text in ("nan", "inf", "-inf") else parse_number(text)


def _scores(rows: np.ndarray, step_column: int, path: Path) -> np.ndarray:
    task, step = _positions(rows[:, [0, step_column]], path)
    shape = (task.max() + 1, step.max() + 1)
    total, number = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (task, step), rows[:, -1])
    np.add.at(number, (task, step), 1.0)
    if not number.all():
        raise _incomplete(path)
    return total / number


def _curve(rows: np.ndarray, path: Path) -> AdaptationCurve:
    """From rows of task_index, task parameters, adaptation_step, episode, episode_return."""
    task, step, episode = _positions(rows[:, [0, -3, -2]], path)
    tasks = np.full((task.max() + 1, rows.shape[1] - 4), np.nan)
    tasks[task] = rows[:, 1:-3]
    episode_return = np.full((task.max() + 1, step.max() + 1, episode.max() + 1), np.nan)
    episode_return[task, step, episode] = rows[:, -1]
    if np.isnan(episode_return).any():
        raise _incomplete(path)
    return return_curve(tasks, episode_return)


def _positions(columns: np.ndarray, path: Path) -> np.ndarray:
    """Columns of indices as integers, [column, row], if there is a row for each of them."""
    with np.errstate(invalid="ignore"):
        index = columns.astype(np.int64)
    # A table of a few rows must not ask for an array of a billion entries.
    if (index != columns).any() or (index < 0).any() or (index >= len(index)).any():
        raise _incomplete(path)
    if np.prod(index.max(axis=0).astype(float) + 1.0) > len(index):
        raise _incomplete(path)
    return index.T


def _incomplete(path: Path) -> EvaluationTableError:
    return EvaluationTableError(
        f"{path} does not have a row for each test task, adaptation step and episode"
    )


def _is_row_until(line: str, meta_iteration: int, num_columns: int) -> bool:
    try:
        row = next(csv.reader([line]), [])
        if len(row) != num_columns:
            return False
        if row[0] == "meta_iteration":
            return True
        return row[1] != "test" and 0 <= parse_integer(row[0]) <= meta_iteration
    except (ValueError, csv.Error):  # damaged
        return False
