"""What survives from one meta-iteration to the next, and so goes into a checkpoint."""

from dataclasses import dataclass

from meta_rl.training.checkpoint import BestCheckpoint
from meta_rl.types import Params


@dataclass(frozen=True)
class TrainerState:
    """All that one meta-iteration hands to the next.

    Attributes:
        meta_params: the initialisation that is being learned.
        meta_iteration: number of completed meta-iterations.
        env_steps: environment steps taken in training so far.
        seconds: wall-clock time of training so far, over all its sessions.
        best: the iteration with the best adaptation curve on validation tasks, if any yet.
    """

    meta_params: Params
    meta_iteration: int = 0
    env_steps: int = 0
    seconds: float = 0.0
    best: BestCheckpoint | None = None
