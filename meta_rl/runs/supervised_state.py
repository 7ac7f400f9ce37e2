"""What survives from one meta-iteration on supervised tasks to the next."""

from dataclasses import dataclass
from typing import Any

import torch

from meta_rl.ops.adam import AdamMoments
from meta_rl.runs.checkpoint import (
    BestCheckpoint,
    Checkpoint,
    CheckpointError,
    finite_number,
    whole_number,
)
from meta_rl.runs.validations import NO_VALIDATION, Validations, restored_validations
from meta_rl.types import Params


@dataclass(frozen=True)
class SupervisedState:
    """All that one meta-iteration hands to the next.

    Attributes:
        meta_params: the initialisation that is being learned.
        moments: memory of Adam: of the outer one, or of Reptile's inner one; None where there is
            neither.
        meta_iteration: number of completed meta-iterations.
        seconds: wall-clock time of training so far, over all its processes.
        validations: what the validation tasks have said.
        loss_sum: sum of the training losses since the last line of the metrics.
        loss_count: how many those are.
    """

    meta_params: Params
    moments: AdamMoments | None
    meta_iteration: int = 0
    seconds: float = 0.0
    validations: Validations = NO_VALIDATION
    loss_sum: float = 0.0
    loss_count: int = 0

    @property
    def model(self) -> Params:
        """A checkpoint's tensors."""
        return self.meta_params

    @property
    def best(self) -> BestCheckpoint | None:
        """The iteration with the best adaptation on validation tasks, if any yet."""
        return self.validations.best

    def plain_values(self) -> dict[str, Any]:
        """What a checkpoint keeps beside parameters and meta-iteration."""
        return {
            "moments": None if self.moments is None else self.moments._asdict(),
            "seconds": self.seconds,
            "validations": self.validations.plain_values(),
            "loss_sum": self.loss_sum,
            "loss_count": self.loss_count,
        }


def restore_supervised(checkpoint: Checkpoint, device: torch.device) -> SupervisedState:
    """The state that a checkpoint was made from, on ``device``.

    Raises:
        CheckpointError: the checkpoint is not one of this trainer.
    """
    kept = checkpoint.trainer_state
    try:
        return SupervisedState(
            meta_params=_to(checkpoint.params, device),
            moments=restore_moments(checkpoint, device),
            meta_iteration=checkpoint.meta_iteration,
            seconds=finite_number(kept["seconds"]),
            validations=restored_validations(kept, checkpoint.meta_iteration),
            loss_sum=finite_number(kept["loss_sum"]),
            loss_count=whole_number(kept["loss_count"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(f"{checkpoint.path} was not written by this trainer") from None


def restore_moments(checkpoint: Checkpoint, device: torch.device) -> AdamMoments | None:
    """Adam's memory in a checkpoint; None where it keeps none.

    Raises:
        CheckpointError: what is there is no memory of these parameters.
    """
    kept = checkpoint.trainer_state.get("moments")
    if kept is None:
        return None
    num_parameters = sum(value.numel() for value in checkpoint.params.values())
    try:
        moments = AdamMoments(*(kept[name].to(device) for name in AdamMoments._fields))
        shapes = [tuple(moment.shape) for moment in moments]
        fits = shapes == [(), (num_parameters,), (num_parameters,)] and all(
            moment.layout == torch.strided
            and moment.dtype in (torch.float32, torch.float64)
            and bool(torch.isfinite(moment).all())
            for moment in moments
        )
    except (KeyError, TypeError, AttributeError, RuntimeError):
        fits = False
    if not fits:
        raise CheckpointError(f"{checkpoint.path} was not written by this trainer")
    return moments


def _to(params: Params, device: torch.device) -> Params:
    return {name: value.to(device) for name, value in params.items()}
