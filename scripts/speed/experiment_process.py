"""An experiment in a process of its own, so that its peak memory is its own."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import torch

from meta_rl.config import load_config
from meta_rl.problems.rl import RLProblem

P = ParamSpec("P")
T = TypeVar("T")

_experiment: RLProblem


class ExperimentProcess:
    """Holds the experiment of some settings until it is closed, and calls functions on it."""

    def __init__(self, settings: Sequence[str], device: str) -> None:
        """``settings``: a preset and overrides."""
        self._executor = ProcessPoolExecutor(
            1,
            multiprocessing.get_context("spawn"),
            initializer=_make_experiment,
            initargs=((*settings, f"run.device={device}"),),
        )

    def start(
        self,
        function: Callable[Concatenate[RLProblem, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[T]:
        """Calls ``function(experiment, ...)`` over there without waiting for it."""
        return self._executor.submit(_call, function, *args, **kwargs)

    def run(
        self,
        function: Callable[Concatenate[RLProblem, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Calls ``function(experiment, ...)`` over there."""
        return self.start(function, *args, **kwargs).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor.shutdown(cancel_futures=True)


def peak_memory(experiment: RLProblem) -> dict[str, float]:
    """Largest memory that the experiment's process has had so far, in GiB (Linux)."""
    peaks = {"peak_memory_gib": host_peak_gib()}
    if experiment.device.type == "cuda":
        allocated = torch.cuda.max_memory_allocated(experiment.device)
        peaks["peak_device_memory_gib"] = allocated / 2**30
    return peaks


def host_peak_gib() -> float:
    """Largest memory that this process has had so far, in GiB (Linux)."""
    # Not from getrusage: what it says starts at the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kibibytes) / 2**20


def _make_experiment(settings: Sequence[str]) -> None:
    global _experiment
    _experiment = RLProblem(load_config(settings[0], settings[1:]))


def _call(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    return function(_experiment, *args, **kwargs)
