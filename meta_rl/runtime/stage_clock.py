"""Seconds spent in each kind of work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StageClock:
    """Adds up wall-clock seconds by name.

    Attributes:
        seconds: name -> seconds so far.
    """

    def __init__(self, device: torch.device) -> None:
        """``device``: waited for at the end of each stretch, so that its work is counted there."""
        self.seconds: dict[str, float] = {}
        self._device = device
        self._mark = time.perf_counter()

    @property
    def total(self) -> float:
        """All seconds that were measured."""
        return sum(self.seconds.values())

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Counts the time inside the with block under ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._count(name, start)

    def mark(self) -> None:
        """Begins a stretch that ``count_since_mark`` will name."""
        self._mark = time.perf_counter()

    def count_since_mark(self, name: str) -> None:
        """Counts the time since the last mark under ``name``."""
        self._count(name, self._mark)
        self.mark()

    def _count(self, name: str, start: float) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
