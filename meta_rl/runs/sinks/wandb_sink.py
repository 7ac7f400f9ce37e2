"""Weights & Biases as a second sink, which may fail in any way without stopping a training run.

``metrics.jsonl`` and ``evaluation.csv`` stay the record of a run; this is a copy to look at.
"""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from meta_rl.config import AnyConfig
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.reading import FileError, read_text
from meta_rl.runs.atomic_files import write_text_atomically

_TIMEOUT_S = 30.0


class WandbSink:
    """Sends records to wandb, whose files it keeps in the run directory.

    An online run that cannot be reached becomes an offline one; whatever fails after that closes
    the sink. Each is told in one line.

    Args:
        run_dir: the run directory; the id in it lets a resumed run continue at wandb.
        config: the settings, of which ``run.wandb`` is the mode.
        notify: takes a line for the user.
    """

    def __init__(self, run_dir: Path, config: AnyConfig, notify: Callable[[str], None]) -> None:
        assert config.run.wandb != "disabled"
        self._notify = notify
        self._num_meta_iterations = config.run.meta_iterations
        self._test_rows: list[dict[str, float]] = []
        self._run: Any = None
        # Offline runs would otherwise still call wandb's host once, to report errors.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        # What the settings of a run silence does not include its login.
        os.environ.setdefault("WANDB_SILENT", "true")
        try:
            self._run = _start(run_dir, config, config.run.wandb)
            if config.run.wandb == "online" and self._run.url:
                notify(f"wandb shows this run at {self._run.url}")
        except Exception as error:
            if config.run.wandb == "offline":
                self._disable(error)
                return
            notify(f"wandb cannot be reached and goes offline: {_first_line(error)}")
            try:
                _forget_failed_start()
                self._run = _start(run_dir, config, "offline")
            except Exception as offline_error:
                self._disable(offline_error)

    def write(self, record: Mapping[str, Any]) -> None:
        """Sends a record, with its ``meta_iteration`` as wandb's step."""
        self._attempt(lambda run: run.log(_scalars(record), step=record["meta_iteration"]))

    def evaluation(self, meta_iteration: int, split: str, curve: AdaptationCurve) -> None:
        """Sends an adaptation curve as a table.

        Those on the validation tasks come one by one, each with the step of its meta-iteration.
        Those on the test tasks are one table, sent in the end.

        Args:
            meta_iteration: number of meta-iterations that the policy was trained for.
            split: which set of tasks, for example ``"validation"``.
            curve: what it did.
        """
        rows = _rows(meta_iteration, curve)
        if split == "test":
            self._test_rows += rows
        else:
            name = f"{split}_curve"
            self._attempt(lambda run: run.log({name: _table(rows)}, step=meta_iteration))

    def films(self, files: Mapping[str, Path]) -> None:
        """Sends films of a run that has ended.

        Args:
            files: mp4 files, by the name that they get at wandb.
        """
        # Past all that is there: wandb drops what comes for an earlier step.
        first_step = self._num_meta_iterations + 1
        self._attempt(lambda run: run.log(_films(files), step=max(run.step, first_step)))

    def close(self) -> None:
        """Waits until wandb has what was sent."""
        if self._test_rows:
            rows, step = self._test_rows, self._num_meta_iterations
            self._attempt(lambda run: run.log({"test_curve": _table(rows)}, step=step))
        self._attempt(lambda run: run.finish())
        self._run = None

    def _attempt(self, send: Callable[[Any], None]) -> None:
        if self._run is None:
            return
        try:
            send(self._run)
        except Exception as error:
            self._disable(error)

    def _disable(self, error: Exception) -> None:
        self._run = None
        self._notify(f"wandb is switched off for this run: {_first_line(error)}")


def open_wandb(run_dir: Path, config: AnyConfig, notify: Callable[[str], None]) -> WandbSink | None:
    """The sink of a run whose ``run.wandb`` is not disabled."""
    return None if config.run.wandb == "disabled" else WandbSink(run_dir, config, notify)


def _scalars(record: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers alone can be drawn: a list becomes one entry for each of its numbers."""
    scalars: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, list):
            scalars |= {f"{name}/{index}": entry for index, entry in enumerate(value)}
        else:
            scalars[name] = value
    return scalars


def _rows(meta_iteration: int, curve: AdaptationCurve) -> list[dict[str, float]]:
    """A row per adaptation step, with the half-width of the 95 % interval of every quantity."""
    named = {name.removeprefix("episode_"): means for name, means in curve.means.items()}
    return [
        {"meta_iteration": meta_iteration, "adaptation_step": step}
        | {name: float(mean[step]) for name, (mean, _) in named.items()}
        | {f"{name}_interval": float(interval[step]) for name, (_, interval) in named.items()}
        for step in range(len(curve.mean))
    ]


def _table(rows: list[dict[str, float]]) -> Any:
    import wandb

    return wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])


def _films(files: Mapping[str, Path]) -> dict[str, Any]:
    import wandb

    return {f"films/{name}": wandb.Video(str(file), format="mp4") for name, file in files.items()}


def _start(run_dir: Path, config: AnyConfig, mode: Literal["offline", "online"]) -> Any:
    import wandb  # takes most of a second, which only those who use it should pay

    return wandb.init(
        project=config.run.wandb_project,
        name=run_dir.resolve().name,
        id=_run_id(run_dir),
        dir=str(run_dir),
        config=config.model_dump(mode="json"),
        mode=mode,
        # Offline, wandb ignores this with a warning: runs of one id join when they are synced.
        resume="allow" if mode == "online" else None,
        settings=wandb.Settings(
            init_timeout=_init_timeout(mode),
            login_timeout=_TIMEOUT_S,
            finish_timeout=_TIMEOUT_S,  # what was not sent is on the disk
            finish_timeout_raises=True,
            console="off",  # a live table is not a log
            silent=True,
        ),
    )


def _init_timeout(mode: str) -> float:
    """Wandb's own variable says how long to try the network, not how long to start a process."""
    return (
        float(os.environ.get("WANDB_INIT_TIMEOUT", _TIMEOUT_S)) if mode == "online" else _TIMEOUT_S
    )


def _forget_failed_start() -> None:
    """Ends wandb's service, which otherwise takes the run's id for one that is in use."""
    import wandb

    wandb.teardown()


def _run_id(run_dir: Path) -> str:
    path = run_dir / "wandb_run_id.txt"
    if not path.exists():
        write_text_atomically(path, secrets.token_hex(4) + "\n")
    run_id = read_text(path, max_bytes=100).strip()
    if not re.fullmatch(r"[0-9a-f]{8}", run_id):
        raise FileError(f"{path} does not hold the id of a run")
    return run_id


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
