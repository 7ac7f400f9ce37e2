"""Validations in the files of a run that do not belong to the run as it goes on.

Two kinds: one that was made only because a shorter run ended there, and those under settings that
give scores another meaning. Both files keep their lines, and each is replaced at once.
"""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meta_rl.reading import parse_json
from meta_rl.runs.atomic_files import read_replaced, write_text_atomically

_PREFIX, _IS_BEST = "validation_", "is_best"


def forget_validation(run: Path, meta_iteration: int, log_every: int = 1) -> None:
    """Removes what a run says about the validation after one iteration.

    Args:
        run: the run directory.
        meta_iteration: which iteration.
        log_every: how many iterations a line of the metrics is about; a line that is there only
            because of the validation goes with it.

    Raises:
        OSError: a file cannot be read or written.
    """

    def row(cells: list[str]) -> list[str] | None:
        return None if cells[:2] == [str(meta_iteration), "validation"] else cells

    def record(values: dict[str, Any]) -> dict[str, Any] | None:
        if values.get("meta_iteration") != meta_iteration:
            return values
        if meta_iteration % log_every:
            return None
        return {name: value for name, value in values.items() if not _tells_validation(name)}

    _rewrite(run / "evaluation.csv", _of_row(row))
    _rewrite(run / "metrics.jsonl", _of_record(record))


def set_validations_aside(run: Path, until: int) -> None:
    """Renames all validations up to an iteration, so that nobody compares them with later ones.

    In ``evaluation.csv`` their split becomes ``validation_until_N``, in ``metrics.jsonl`` their
    names begin with ``superseded_``. Called again before the run has gone on, it removes what was
    validated since, which comes again.

    Args:
        run: the run directory.
        until: meta-iterations that are complete.

    Raises:
        OSError: a file cannot be read or written.
    """
    split = f"validation_until_{until}"
    table = run / "evaluation.csv"
    was_set_aside = table.exists() and f",{split}," in read_replaced(table)

    def row(cells: list[str]) -> list[str] | None:
        if cells[1:2] != ["validation"]:
            return cells
        return None if was_set_aside else [cells[0], split, *cells[2:]]

    def record(values: dict[str, Any]) -> dict[str, Any]:
        return {
            f"superseded_{name}" if _tells_validation(name) else name: value
            for name, value in values.items()
        }

    _rewrite(table, _of_row(row))
    _rewrite(run / "metrics.jsonl", _of_record(record))


def _tells_validation(name: str) -> bool:
    return name.startswith(_PREFIX) or name == _IS_BEST


def _of_row(change: Callable[[list[str]], list[str] | None]) -> Callable[[str], str | None]:
    def change_line(line: str) -> str | None:
        try:
            cells = next(csv.reader([line]), [])
        except csv.Error:
            return line  # damaged, as below
        changed = change(cells)
        if changed is None or changed == cells:
            return None if changed is None else line
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(changed)
        return text.getvalue()

    return change_line


def _of_record(
    change: Callable[[dict[str, Any]], dict[str, Any] | None],
) -> Callable[[str], str | None]:
    def change_line(line: str) -> str | None:
        if f'"{_PREFIX}' not in line:
            return line
        try:
            values = parse_json(line)
        except ValueError:
            return line  # damaged, and left for those who read it to say so
        if not isinstance(values, dict):
            return line
        changed = change(values)
        return None if changed is None else json.dumps(changed)

    return change_line


def _rewrite(path: Path, change: Callable[[str], str | None]) -> None:
    """Changes the lines of a file; None removes one. A torn last line stays torn."""
    if not path.exists():
        return
    *lines, rest = read_replaced(path).split("\n")
    changed = [change(line) for line in lines]
    if changed != lines:
        kept = [line for line in changed if line is not None]
        write_text_atomically(path, "\n".join([*kept, rest]))
