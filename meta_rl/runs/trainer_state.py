"""What survives from one meta-iteration to the next, and so goes into a checkpoint."""

from dataclasses import dataclass
from typing import Any

import torch

from meta_rl.models.observation_normaliser import split_moments, with_moments
from meta_rl.ops.moments import Moments
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
class TrainerState:
    """All that one meta-iteration hands to the next.

    Attributes:
        meta_params: the initialisation that is being learned.
        meta_iteration: number of completed meta-iterations.
        env_steps: environment steps taken in training so far.
        seconds: wall-clock time of training so far, over all its processes.
        validations: what the validation tasks have said.
        observation_moments: of all training steps so far, on the CPU, if observations are
            normalised.
    """

    meta_params: Params
    meta_iteration: int = 0
    env_steps: int = 0
    seconds: float = 0.0
    validations: Validations = NO_VALIDATION
    observation_moments: Moments | None = None

    @property
    def best(self) -> BestCheckpoint | None:
        """The iteration with the best adaptation curve on validation tasks, if any yet."""
        return self.validations.best

    @property
    def model(self) -> Params:
        """What the policy is made of: a checkpoint's tensors."""
        return with_moments(self.meta_params, self.observation_moments)

    def plain_values(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the model and meta-iteration."""
        return {
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "validations": self.validations.plain_values(),
        }


def restore(checkpoint: Checkpoint, device: torch.device) -> TrainerState:
    """The state that a checkpoint was made from, on ``device``.

    Raises:
        CheckpointError: the checkpoint is not one of this trainer.
    """
    kept = checkpoint.trainer_state
    params, moments = split_moments(checkpoint.params)
    try:
        return TrainerState(
            meta_params={name: value.to(device) for name, value in params.items()},
            meta_iteration=checkpoint.meta_iteration,
            env_steps=whole_number(kept["env_steps"]),
            seconds=finite_number(kept["seconds"]),
            validations=restored_validations(kept, checkpoint.meta_iteration),
            observation_moments=moments,
        )
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{checkpoint.path} was not written by this trainer") from None
