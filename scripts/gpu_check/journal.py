"""Results are on the disk the moment they are there, so that a run that is cut off keeps them."""

import json
import os
import time
from pathlib import Path
from typing import Any, TextIO


class Journal:
    """One JSON of results and one log of everything that was printed.

    Attributes:
        content: the JSON; its ``parts`` hold ``status``, ``seconds`` and ``results`` of each.
    """

    def __init__(self, folder: Path, **facts: Any) -> None:
        """Starts both files anew; ``facts`` are written first."""
        folder.mkdir(parents=True, exist_ok=True)
        self.json_file, self.log_file = folder / "gpu_check.json", folder / "gpu_check.log"
        self.content: dict[str, Any] = {**facts, "parts": {}}
        self._log: TextIO = self.log_file.open("w")
        self._start = time.monotonic()
        self._save()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def say(self, line: str) -> None:
        """Prints a line and logs it."""
        print(line, flush=True)
        self._log.write(f"{self.seconds:7.1f} {line}\n")
        self._log.flush()

    def add(self, **facts: Any) -> None:
        """Writes facts about the whole check."""
        self.content.update(facts)
        self._save()

    def set_part(self, name: str, **state: Any) -> None:
        """Writes how a part stands."""
        self._part(name).update(state)
        self._save()

    def add_result(self, name: str, result: dict[str, Any]) -> None:
        """Writes a result of a part; a later one replaces an earlier one of the same key."""
        _merge(self._part(name)["results"], result)
        self._save()

    def _part(self, name: str) -> dict[str, Any]:
        part: dict[str, Any] = self.content["parts"].setdefault(name, {"results": {}})
        return part

    def _save(self) -> None:
        self.content["seconds"] = round(self.seconds, 1)
        temporary = self.json_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.content, indent=2) + "\n")
        os.replace(temporary, self.json_file)


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
