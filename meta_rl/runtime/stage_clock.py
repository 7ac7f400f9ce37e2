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
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
