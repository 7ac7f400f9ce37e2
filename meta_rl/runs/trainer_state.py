"""What survives from one meta-iteration to the next, and so goes into a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from meta_rl.models.observation_normaliser import split_moments, with_moments
from meta_rl.ops.moments import Moments
from meta_rl.runs.best_checkpoint import BestCheckpoint, CheckpointError
from meta_rl.runs.checkpoint import Checkpoint, fitting_params
from meta_rl.runs.plain_numbers import finite_number, whole_number
from meta_rl.runs.validations import NO_VALIDATION, Validations, restored_validations
from meta_rl.types import AlgorithmState, Params


@dataclass(frozen=True)
class TrainerState:
    """All that one meta-iteration hands to the next.

    Attributes:
        learned: what the algorithm has learned, and what it remembers.
        meta_iteration: number of completed meta-iterations.
        env_steps: environment steps taken in training so far; 0 for supervised tasks.
        seconds: wall-clock time of training so far, over all its processes.
        validations: what the validation tasks have said.
        observation_moments: of all training steps so far, on the CPU, if observations are
            normalised.
        sums: of the metrics that a line of ``metrics.jsonl`` averages, since the last line.
        num_summed: how many iterations those are.
    """

    learned: AlgorithmState
    meta_iteration: int = 0
    env_steps: int = 0
    seconds: float = 0.0
    validations: Validations = NO_VALIDATION
    observation_moments: Moments | None = None
    sums: Mapping[str, Any] = field(default_factory=dict)
    num_summed: int = 0

    @property
    def params(self) -> Params:
        """What is learned."""
        return self.learned.params

    @property
    def best(self) -> BestCheckpoint | None:
        """The iteration with the best adaptation curve on validation tasks, if any yet."""
        return self.validations.best

    @property
    def model(self) -> Params:
        """What acting and adapting begin with: a checkpoint's tensors."""
        return with_moments(self.params, self.observation_moments)

    def plain_values(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the model and meta-iteration."""
        return {
            "memory": dict(self.learned.memory),
            "env_steps": self.env_steps,
            "seconds": self.seconds,
            "validations": self.validations.plain_values(),
            "sums": dict(self.sums),
            "num_summed": self.num_summed,
        }


def restore(checkpoint: Checkpoint, initial: TrainerState, device: torch.device) -> TrainerState:
    """The state that a checkpoint was made from, on ``device``.

    Args:
        checkpoint: its parameters fit those of the initial state.
        initial: the state before training, which says what the algorithm remembers.
        device: where tensors go.

    Raises:
        CheckpointError: the checkpoint is not one of this trainer and algorithm.
    """
    kept = checkpoint.trainer_state
    params, moments = split_moments(checkpoint.params)
    kept_there, expected = kept_memory(checkpoint), initial.learned.memory
    memory = _fitting_memory(checkpoint.path, kept_there, expected, device)
    try:
        return TrainerState(
            learned=AlgorithmState(
                params={name: value.to(device) for name, value in params.items()}, memory=memory
            ),
            meta_iteration=checkpoint.meta_iteration,
            env_steps=whole_number(kept.get("env_steps", 0)),
            seconds=finite_number(kept["seconds"]),
            validations=restored_validations(kept, checkpoint.meta_iteration),
            observation_moments=moments,
            **_sums(kept),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckpointError(f"{checkpoint.path} was not written by this trainer") from None


def kept_memory(checkpoint: Checkpoint) -> Any:
    """What the algorithm of a checkpoint remembers, unchecked; empty where nothing is kept."""
    kept = checkpoint.trainer_state
    # Earlier versions had Adam's memory alone.
    memory = kept.get("memory", kept.get("moments"))
    return {} if memory is None else memory


def restored_model(
    path: Path, model: Params, memory: Any, initial: TrainerState, device: torch.device
) -> TrainerState:
    """The initial state with what was learned in its place, to adapt from, on ``device``.

    Args:
        path: where it is from.
        model: a checkpoint's tensors.
        memory: as ``kept_memory`` has it. Where it is empty, as in a run without what its trainer
            needs to go on, the algorithm starts with the memory of the initial state.
        initial: the state before training.
        device: where tensors go.

    Raises:
        CheckpointError: it does not fit the initial state, or is not finite.
    """
    params, moments = split_moments(fitting_params(path, model, initial.model))
    expected = initial.learned.memory
    remembered = _fitting_memory(path, expected if memory == {} else memory, expected, device)
    learned = AlgorithmState({name: x.to(device) for name, x in params.items()}, remembered)
    return replace(initial, learned=learned, observation_moments=moments)


def scored_otherwise(checkpoint: Checkpoint) -> bool:
    """Whether its validation scores have another meaning than now.

    Earlier versions scored supervised tasks by the last adaptation step alone.
    """
    return "moments" in checkpoint.trainer_state


def _fitting_memory(path: Path, memory: Any, expected: Params, device: torch.device) -> Params:
    if not isinstance(memory, dict) or not all(map(_is_plain_tensor, memory.values())):
        raise CheckpointError(f"{path} was not written by this trainer")
    for name in {**expected, **memory}:
        wanted, found = _kind(expected.get(name)), _kind(memory.get(name))
        if wanted != found:
            raise CheckpointError(
                f"{path} is of another algorithm: what it remembers of {name} has the "
                f"shape and type {found}, where {wanted} belongs"
            )
        if not bool(torch.isfinite(memory[name]).all()):
            raise CheckpointError(f"{path} remembers a {name} that is not finite")
    return {name: memory[name].to(device) for name in expected}


def _is_plain_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided


def _kind(value: Tensor | None) -> str:
    return "none" if value is None else f"{tuple(value.shape)} {value.dtype}"


def _sums(kept: Mapping[str, Any]) -> dict[str, Any]:
    if "loss_count" in kept:  # of an earlier version
        count = whole_number(kept["loss_count"])
        sums: dict[str, Any] = {"train_loss": finite_number(kept["loss_sum"])} if count else {}
        return {"sums": sums, "num_summed": count}
    sums = kept.get("sums", {})
    if not all(isinstance(name, str) and _is_number_or_list(x) for name, x in sums.items()):
        raise ValueError("sums are numbers")
    return {"sums": sums, "num_summed": whole_number(kept.get("num_summed", 0))}


def _is_number_or_list(value: Any) -> bool:
    entries = value if isinstance(value, list) else [value]
    return all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in entries)
