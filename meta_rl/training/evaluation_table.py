"""``evaluation.csv``: every evaluation episode as one row, in long format."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meta_rl.training.atomic_files import keep_lines


class EvaluationTable:
    """Appends the episodes of evaluations.

    Columns: meta_iteration, split, task_index, one per task parameter, adaptation_step, episode,
    episode_return.

    Args:
        path: the file; an existing one is continued.
        task_parameter_names: names of the entries of a task.
        resume_from: meta-iterations that the checkpoint to go on from had completed, 0 for a new
            run. Rows past it will be written again, so they are dropped; so are those of the test
            tasks, which are written when a run ends.
    """

    def __init__(
        self, path: Path, task_parameter_names: Sequence[str], resume_from: int = 0
    ) -> None:
        header = [
            *("meta_iteration", "split", "task_index"),
            *task_parameter_names,
            *("adaptation_step", "episode", "episode_return"),
        ]
        if path.exists():
            keep_lines(path, lambda line: _is_row_until(line, resume_from, len(header)))
        self._file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        if path.stat().st_size == 0:
            self._writer.writerow(header)
            self._file.flush()

    def write(
        self, meta_iteration: int, split: str, task: np.ndarray, episode_return: np.ndarray
    ) -> None:
        """Appends one evaluation.

        Args:
            meta_iteration: number of completed meta-iterations.
            split: which set of tasks, for example ``"validation"``.
            task: [task, task_parameter].
            episode_return: undiscounted, [task, adaptation_step, episode].
        """
        for (index, step, episode), value in np.ndenumerate(episode_return):
            self._writer.writerow(
                [
                    *(meta_iteration, split, index),
                    *task[index].tolist(),
                    *(step, episode, float(value)),
                ]
            )
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _is_row_until(line: str, meta_iteration: int, num_columns: int) -> bool:
    row = next(csv.reader(io.StringIO(line)), [])
    if len(row) != num_columns:
        return False
    if row[0] == "meta_iteration":
        return True
    return row[1] != "test" and row[0].isdecimal() and int(row[0]) <= meta_iteration
