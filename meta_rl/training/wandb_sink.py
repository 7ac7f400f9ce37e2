"""Weights & Biases as a second sink, which may fail in any way without stopping a training run."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from meta_rl.config import AnyConfig
from meta_rl.training.atomic_files import write_text_atomically

_TIMEOUT_S = 30


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
        self._run: Any = None
        # Offline runs would otherwise still call wandb's host once, to report errors.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
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
        if self._run is None:
            return
        try:
            self._run.log(dict(record), step=record["meta_iteration"])
        except Exception as error:
            self._disable(error)

    def close(self) -> None:
        """Waits until wandb has what was sent."""
        if self._run is None:
            return
        try:
            self._run.finish()
        except Exception as error:
            self._disable(error)
        self._run = None

    def _disable(self, error: Exception) -> None:
        self._run = None
        self._notify(f"wandb is switched off for this run: {_first_line(error)}")


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
            init_timeout=_TIMEOUT_S,
            login_timeout=_TIMEOUT_S,
            finish_timeout=_TIMEOUT_S,  # what was not sent is on the disk
            finish_timeout_raises=True,
            console="off",  # a live table is not a log
            silent=True,
        ),
    )


def _forget_failed_start() -> None:
    """Ends wandb's service, which otherwise takes the run's id for one that is in use."""
    import wandb

    wandb.teardown()


def _run_id(run_dir: Path) -> str:
    path = run_dir / "wandb_run_id.txt"
    if not path.exists():
        write_text_atomically(path, secrets.token_hex(4) + "\n")
    return path.read_text().strip()


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
