"""Policies in a folder: written whole, and read so that no file can run code.

``config.json`` holds the settings of the run, ``policy.json`` the action space and counts, and
``policy.safetensors`` all tensors: what training has learned, the adapted parameters, and the
episodes that they were adapted to.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from meta_rl.config import Config
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.reading import parse_json
from meta_rl.rollouts.action_spaces import PolicySpaces
from meta_rl.runs.atomic_files import new_folder, write_durably
from meta_rl.runs.best_checkpoint import CheckpointError
from meta_rl.runs.checkpoint import parse_settings, read_checked
from meta_rl.runs.trusted_runs import check_trusted, trust_files, trust_run
from meta_rl.types import AlgorithmState, Params, RolloutBatch

_SETTINGS, _PLAIN, _TENSORS = "config.json", "policy.json", "policy.safetensors"
_MODEL, _MEMORY, _ADAPTED = "learned.", "memory.", "adapted."
_ALWAYS_RECORDED = frozenset(
    ("observation", "action", "log_prob", "reward", "terminated", "truncated", "valid")
)


@dataclass(frozen=True)
class KeptPolicy:
    """What a folder holds.

    Attributes:
        saved: what training has learned.
        learned: the same as the algorithm's state.
        spaces: that the policy fits.
        params: of the adapted policy.
        stages: the episodes that it was adapted to.
    """

    saved: SavedModel
    learned: AlgorithmState
    spaces: PolicySpaces
    params: Params
    stages: tuple[RolloutBatch, ...]


def is_saved_policy(path: Path) -> bool:
    """Whether a folder holds a policy that was saved by itself."""
    return (path / _PLAIN).is_file()


def save_policy(kept: KeptPolicy, folder: Path) -> None:
    """Writes a new folder.

    Raises:
        NewFolderError: it exists, or cannot be written.
    """
    tensors = {
        **_named(_MODEL, kept.saved.params),
        **_named(_MEMORY, kept.learned.memory),
        **_named(_ADAPTED, kept.params),
    }
    for index, stage in enumerate(kept.stages):
        parts = {field.name: getattr(stage, field.name) for field in fields(stage)}
        recorded = {name: x for name, x in parts.items() if isinstance(x, Tensor)}
        tensors |= _named(_stage(index), recorded)
    plain = {
        "meta_iteration": kept.saved.meta_iteration,
        "num_adaptation_steps": len(kept.stages),
        "observation_size": kept.spaces.observation_size,
        "action_space": _plain_space(kept.spaces.action_space),
    }
    with new_folder(folder) as temporary:
        settings = kept.saved.config.model_dump(mode="json")
        write_durably(temporary / _SETTINGS, json.dumps(settings, indent=2).encode())
        write_durably(temporary / _TENSORS, save_tensors(tensors))
        write_durably(temporary / _PLAIN, json.dumps(plain, indent=2).encode())
    trust_run(folder, kept.saved.config)


def load_policy(folder: Path, *, trust: bool) -> KeptPolicy:
    """Reads a folder; ``trust`` is that of ``load_model``.

    Raises:
        CheckpointError: a file cannot be read, or they do not belong together.
        UntrustedRunError: the settings name a module, and may not.
    """
    if trust:
        trust_files(folder)
    config = read_checked(folder / _SETTINGS, parse_settings(folder / _SETTINGS))
    check_trusted(folder, config)
    plain = read_checked(folder / _PLAIN, lambda content: parse_json(content.decode()))
    tensors = read_checked(folder / _TENSORS, load_tensors)
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{folder} holds numbers that are not finite: those of {name}")
    try:
        if not isinstance(config, Config):
            raise TypeError("these are settings of supervised tasks")
        spaces = PolicySpaces(int(plain["observation_size"]), _space(plain["action_space"]))
        iteration, num_steps = int(plain["meta_iteration"]), int(plain["num_adaptation_steps"])
        stages = tuple(_episodes(_part(_stage(k), tensors), spaces) for k in range(num_steps))
    except (KeyError, TypeError, ValueError, AssertionError):
        raise CheckpointError(f"{folder} was not written by Policy.save") from None
    model, memory = _part(_MODEL, tensors), _part(_MEMORY, tensors)
    return KeptPolicy(
        SavedModel(folder, iteration, model, config, memory),
        AlgorithmState(model, memory),
        spaces,
        _part(_ADAPTED, tensors),
        stages,
    )


def _episodes(recorded: Params, spaces: PolicySpaces) -> RolloutBatch:
    if recorded.keys() - {"success"} != _ALWAYS_RECORDED:
        raise KeyError("other quantities than those of a batch")
    shape = recorded["reward"].shape
    sizes = {"observation": spaces.observation_size, "action": spaces.action_size}
    for name in _ALWAYS_RECORDED:
        wanted = (*shape, sizes[name]) if name in sizes else (*shape,)
        if len(shape) != 3 or tuple(recorded[name].shape) != wanted:
            raise ValueError(f"another shape of {name}")
    return RolloutBatch(**recorded, task=np.zeros((1, 0)), num_diverged=0)


def _stage(index: int) -> str:
    return f"stage_{index}."


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> Params:
    """Copies, because safetensors refuses tensors that share memory."""
    return {
        prefix + name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in tensors.items()
    }


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> Params:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _plain_space(space: Space[Any]) -> dict[str, Any]:
    dtype = str(np.dtype(space.dtype))
    if isinstance(space, Box):
        return {"low": space.low.tolist(), "high": space.high.tolist(), "dtype": dtype}
    if isinstance(space, Discrete):
        return {"n": int(space.n), "start": int(space.start), "dtype": dtype}
    assert isinstance(space, MultiDiscrete)
    return {"nvec": space.nvec.tolist(), "start": space.start.tolist(), "dtype": dtype}


def _space(plain: Mapping[str, Any]) -> Space[Any]:
    dtype: Any = np.dtype(plain["dtype"]).type
    if "low" in plain:
        return Box(np.array(plain["low"], dtype), np.array(plain["high"], dtype), dtype=dtype)
    if "n" in plain:
        return Discrete(plain["n"], start=plain["start"], dtype=dtype)
    return MultiDiscrete(plain["nvec"], start=plain["start"], dtype=dtype)
