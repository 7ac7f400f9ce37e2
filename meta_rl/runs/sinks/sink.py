"""A sink shows a run elsewhere; ``metrics.jsonl`` and ``evaluation.csv`` stay its record.

Whatever fails in a sink never stops a training: it says so in one line and is silent from then on.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from meta_rl.config import AnyConfig
from meta_rl.curves.adaptation_curve import AdaptationCurve


class Sink(Protocol):
    """Takes what a training writes down."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Takes a flat record; its ``meta_iteration`` counts the completed meta-iterations."""

    def evaluation(self, meta_iteration: int, split: str, curve: AdaptationCurve) -> None:
        """Takes an adaptation curve.

        Args:
            meta_iteration: number of meta-iterations that the policy was trained for.
            split: which set of tasks, for example ``"validation"``.
            curve: what adapting did.
        """

    def close(self) -> None:
        """Hands over what is still buffered."""


OpenSink = Callable[[Path, AnyConfig, Callable[[str], None]], Sink | None]
"""(run directory, settings, what takes a line for the user) -> sink; None if not asked for."""
