"""Training stops where a number is not finite, and says which, on which task and when.

The checks look at whole tensors at moments at which the host waits for the device anyway. Only
once one fails does the algorithm compute its quantities again, task by task, to find the first one
that went wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meta_rl.rollouts.environments import EnvironmentFault
from meta_rl.rollouts.sampler import NumericalError, named_task
from meta_rl.types import Params

Name = Callable[[int], str]
"""Index of a task -> how the task is named."""


@contextmanager
def faults_during(moment: str) -> Iterator[None]:
    """Puts the moment, for example "meta-iteration 3", before the message of a fault inside."""
    try:
        yield
    except (EnvironmentFault, NumericalError) as fault:
        fault.args = (f"{moment}: {fault}",)
        raise


def all_finite(values: Iterable[Tensor]) -> bool:
    """Whether everything is finite; the host waits for the answer once."""
    checks = [torch.isfinite(value).all() for value in values]
    return not checks or bool(torch.stack(checks).all())


def refuse_first(quantities: Iterable[tuple[str, Tensor]], name_of: Name) -> None:
    """Raises NumericalError for the first quantity that is not finite, and its first such task.

    Args:
        quantities: in the order in which they are computed, each [M, ...].
        name_of: index of a task -> its name.
    """
    for quantity, value in quantities:
        finite_M = torch.isfinite(value).flatten(1).all(1) if value.ndim > 1 else value.isfinite()
        if not bool(finite_M.all()):
            task = int(finite_M.int().argmin())
            raise NumericalError(f"{quantity} is not finite ({name_of(task)})")


def refuse_params(params: Params, what: str) -> None:
    """Raises NumericalError for the first of some parameters that is not finite."""
    for name, value in params.items():
        if not all_finite([value]):
            raise NumericalError(f"{what} {name} is not finite")


def task_namer(tasks: np.ndarray, names: Sequence[str]) -> Name:
    """Names tasks [M, P] by their entries."""
    return lambda index: named_task(tasks[index], names)


def quantities_of(algorithm: Any, verb: str, *arguments: Any) -> Iterable[tuple[str, Tensor]]:
    """What an algorithm computes on its way, if it says so: ``VERB_quantities``."""
    explain = getattr(algorithm, f"{verb}_quantities", None)
    return () if explain is None else explain(*arguments)
