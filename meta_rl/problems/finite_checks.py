"""Training stops where a number is not finite, and says which, on which task and when.

The checks look at whole tensors at moments at which the host waits for the device anyway. Only
once one fails is it worked out, task by task, what went wrong first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value

from meta_rl.algorithms.maml_trpo import InnerLoop, MetaData, meta_gradient, split_tasks
from meta_rl.ops.params import unravel
from meta_rl.rollouts.environments import EnvironmentFault
from meta_rl.rollouts.sampler import NumericalError, named_task
from meta_rl.types import MetaUpdateStats, Params, PolicyGradientBatch


@contextmanager
def faults_during(moment: str) -> Iterator[None]:
    """Puts the moment, for example "meta-iteration 3", before the message of a fault inside."""
    try:
        yield
    except (EnvironmentFault, NumericalError) as fault:
        fault.args = (f"{moment}: {fault}",)
        raise


@dataclass(frozen=True)
class FiniteChecks:
    """Checks of what is computed from the episodes of some tasks.

    Attributes:
        inner_loop: how the policies adapt.
        tasks: [M, P].
        task_parameter_names: the name of each entry of a task.
    """

    inner_loop: InnerLoop
    tasks: np.ndarray
    task_parameter_names: Sequence[str]

    def advantages(self, batch: PolicyGradientBatch) -> None:
        """Raises NumericalError unless all advantages and log-probabilities are finite."""
        if not _all_finite(batch.advantage, batch.old_log_prob):
            for task in range(len(self.tasks)):
                self._refuse("an advantage", task, _all_finite(batch.advantage[task]))
                self._refuse("a log-probability", task, _all_finite(batch.old_log_prob[task]))

    def adaptation(self, before: Params, batch: PolicyGradientBatch, after: Params) -> None:
        """Raises NumericalError unless the adapted parameters [M, ...] are all finite.

        Args:
            before: the parameters before this adaptation step, [M, ...].
            batch: the episodes that it was made from.
            after: the parameters after it.
        """
        if _all_finite(*after.values()):
            return
        for task in range(len(self.tasks)):
            gradient, loss = grad_and_value(self.inner_loop.loss)(
                {name: value[task] for name, value in before.items()},
                PolicyGradientBatch(*(value[task] for value in batch)),
            )
            self._refuse("the loss of adaptation", task, _all_finite(loss))
            for name, value in gradient.items():
                self._refuse(f"the gradient of adaptation ({name})", task, _all_finite(value))
            for name, value in after.items():
                self._refuse(f"the adapted parameter {name}", task, _all_finite(value[task]))

    def meta_update(
        self, before: Params, data: MetaData, stats: MetaUpdateStats, after: Params
    ) -> None:
        """Raises NumericalError unless meta-loss, meta-gradient and new meta-parameters are finite.

        Args:
            before: the meta-parameters before the update.
            data: the episodes that it was made from.
            stats: what it reports.
            after: the new meta-parameters.
        """
        if not (np.isfinite(stats.surrogate_before) and np.isfinite(stats.gradient_norm)):
            for task, chunk in enumerate(split_tasks(data, 1)):
                gradient, surrogate, _ = meta_gradient(self.inner_loop, before, [chunk])
                self._refuse("the meta-loss", task, _all_finite(surrogate))
                for name, value in unravel(gradient, before).items():
                    self._refuse(f"the meta-gradient ({name})", task, _all_finite(value))
            raise NumericalError(
                "the meta-gradient is not finite, although that of each task here is"
            )
        if not _all_finite(*after.values()):
            name = next(name for name, value in after.items() if not _all_finite(value))
            raise NumericalError(f"the meta-parameter {name} is not finite")

    def _refuse(self, quantity: str, task: int, is_finite: bool) -> None:
        if not is_finite:
            named = named_task(self.tasks[task], self.task_parameter_names)
            raise NumericalError(f"{quantity} is not finite ({named})")


def _all_finite(*values: Tensor) -> bool:
    """Whether everything is finite; the host waits for the answer once."""
    return bool(torch.stack([torch.isfinite(value).all() for value in values]).all())
