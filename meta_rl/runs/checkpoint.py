"""Checkpoints: written so that a crash cannot spoil one, read so that none can run code.

A run directory holds ``checkpoints/iteration_000500/`` with ``model.safetensors`` (the
meta-parameters and, where observations are normalised, their statistics), ``config.json`` (the
settings) and ``trainer.pt`` (whatever else the loop needs to go on), and ``best.json``, which names
the checkpoint that did best on validation tasks.
"""

import io
import json
import re
import shlex
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from meta_rl.config import AnyConfig, ConfigError, UntrustedRunError, config_from_mapping
from meta_rl.reading import (
    file_errors_as,
    parse_json,
    read_bytes,
)
from meta_rl.reading.archives import check_not_packed
from meta_rl.runs.atomic_files import sync_folder, write_durably
from meta_rl.runs.best_checkpoint import (
    BestCheckpoint,
    CheckpointError,
    checkpoint_path,
    read_best,
    write_best,
)
from meta_rl.types import Params

_NAME = re.compile(r"iteration_([0-9]{6,18})")
_MAX_BYTES = 2 << 30
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: its folder.
        meta_iteration: number of meta-iterations that were complete.
        params: the tensors of the model, on the CPU.
        config: the settings of the run.
        trainer_state: what was given to ``save_checkpoint``, tensors on the CPU.
        warnings: a sentence for each newer checkpoint that had to be passed over.
    """

    path: Path
    meta_iteration: int
    params: Params
    config: AnyConfig
    trainer_state: dict[str, Any]
    warnings: tuple[str, ...] = ()


def save_checkpoint(
    run_dir: Path,
    meta_iteration: int,
    params: Params,
    config: AnyConfig,
    trainer_state: Mapping[str, Any],
    best: BestCheckpoint | None = None,
    *,
    also_kept: Collection[int] = (),
) -> Path:
    """Writes a checkpoint, then names the best one, then removes those that are no longer kept.

    Kept are the last ``run.keep_checkpoints`` up to this one, the best one and ``also_kept``. Later
    ones belong to a future that a resume has abandoned, and are removed. In this order,
    ``best.json`` never names a checkpoint that is not there, whenever the process ends.

    Args:
        run_dir: the run directory.
        meta_iteration: number of meta-iterations that are complete.
        params: the tensors of the model.
        config: the settings of the run.
        trainer_state: tensors and plain values only, because loading refuses everything else.
        best: which checkpoint is the best one now; None where nothing has been evaluated yet.
        also_kept: iterations whose checkpoints are not removed either.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: if it cannot be written; those that exist are then untouched.
    """
    folder = run_dir / "checkpoints"
    path = checkpoint_path(run_dir, meta_iteration)
    state = io.BytesIO()
    torch.save(dict(trainer_state), state)
    # Copies, because safetensors refuses tensors that share memory.
    tensors = {
        name: param.detach().to("cpu", copy=True).contiguous() for name, param in params.items()
    }
    contents = {
        "model.safetensors": save_tensors(tensors),
        "config.json": json.dumps(config.model_dump(mode="json"), indent=2).encode(),
        "trainer.pt": state.getvalue(),
    }
    try:
        folder.mkdir(exist_ok=True)
        _remove_leftovers(folder)
        _write_folder(path, contents)
        if best is not None:
            write_best(run_dir, best)
        _prune(run_dir, meta_iteration, config.run.keep_checkpoints, also_kept)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}") from error
    return path


def load_checkpoint(path: Path, expected_params: Params | None = None) -> Checkpoint:
    """Loads a checkpoint, or the newest one of a run directory that is not damaged.

    Args:
        path: a checkpoint's folder, or a run directory.
        expected_params: if given, parameters whose names and shapes the checkpoint must have,
            and whose order its own are brought into.

    Raises:
        CheckpointError: if there is none, if none can be read, or if it is of another model.
    """
    if (path / "model.safetensors").exists() or _NAME.fullmatch(path.name):
        checkpoint = _read(path)
    else:
        checkpoint = _read_newest(path)
    if expected_params is not None:
        checkpoint = with_fitting_params(checkpoint, expected_params)
    return checkpoint


def with_fitting_params(checkpoint: Checkpoint, expected: Params) -> Checkpoint:
    """The checkpoint with its parameters in the order of a model's own, if they fit it.

    Raises:
        CheckpointError: names, shapes or types differ.
    """
    params = fitting_params(checkpoint.path, checkpoint.params, expected)
    return replace(checkpoint, params=params)


def fitting_params(path: Path, params: Params, expected: Params) -> Params:
    """Returns the parameters in the order of those of a model, if they fit it.

    Args:
        path: where they are from.
        params: parameters.
        expected: the model's own.

    Raises:
        CheckpointError: names, shapes or types differ.
    """
    _check_params(path, params, expected)
    # A file has an order of its own, and sums over all parameters must round as before.
    return {name: params[name] for name in expected}


def find_checkpoints(run_dir: Path) -> list[Path]:
    """Returns the folders of a run's checkpoints, oldest first."""
    folders = [path for path in (run_dir / "checkpoints").glob("*") if _NAME.fullmatch(path.name)]
    return sorted(folders, key=_meta_iteration)


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    temporary = _hidden(path, "tmp")
    temporary.mkdir()
    try:
        for name, content in contents.items():
            write_durably(temporary / name, content)
        sync_folder(temporary)
        if path.exists():
            # A folder cannot be renamed onto another; a resume writes what it passed over again.
            path.rename(_hidden(path, "old"))
        temporary.rename(path)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _remove_leftovers(folder: Path) -> None:
    """Removes what a crash, or the replacement of a checkpoint, has left behind."""
    for leftover in folder.glob(".iteration_*"):
        shutil.rmtree(leftover)


def _prune(run_dir: Path, meta_iteration: int, num_kept: int, also_kept: Collection[int]) -> None:
    checkpoints = find_checkpoints(run_dir)
    kept = [path for path in checkpoints if _meta_iteration(path) <= meta_iteration][-num_kept:]
    best = read_best(run_dir)
    needed = {*also_kept, *([] if best is None else [best.meta_iteration])}
    for path in checkpoints:
        if path not in kept and _meta_iteration(path) not in needed:
            # Out of sight at once, so that a crash leaves no checkpoint that lacks some files.
            path.rename(_hidden(path, "old"))
    _remove_leftovers(run_dir / "checkpoints")


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{suffix}")


def _meta_iteration(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path} is not called iteration_NUMBER, as a checkpoint is")
    return int(match[1])


def _read_newest(run_dir: Path) -> Checkpoint:
    paths = find_checkpoints(run_dir)
    if not paths:
        raise CheckpointError(f"there is no checkpoint in {run_dir}{_way_out(run_dir)}")
    problems: list[CheckpointError] = []
    for path in reversed(paths):
        try:
            checkpoint = _read(path)
        except CheckpointError as error:
            problems.append(error)
            continue
        passed_over = (f"passed over a damaged checkpoint: {problem}" for problem in problems)
        return replace(checkpoint, warnings=tuple(passed_over))
    raise CheckpointError(
        f"none of the {len(paths)} checkpoints in {run_dir} can be read: {problems[0]}"
        f"{_way_out(run_dir)}"
    )


def _way_out(run_dir: Path) -> str:
    config = run_dir / "config.yaml"
    command = f"meta-rl train {shlex.quote(str(config))}"
    return f"; repeat the run in a new folder with: {command}" if config.exists() else ""


def _read(path: Path) -> Checkpoint:
    params = read_checked(path / "model.safetensors", load_tensors)
    for name, value in params.items():
        if not value.dtype.is_floating_point or value.dtype.itemsize < 2:
            raise CheckpointError(f"{path} holds numbers of the type {value.dtype}: {name}")
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path} holds numbers that are not finite: those of {name}")
    return Checkpoint(
        path=path,
        meta_iteration=_meta_iteration(path),
        params=params,
        config=read_checked(path / "config.json", parse_settings(path / "config.json")),
        trainer_state=read_checked(path / "trainer.pt", _parse_trainer_state),
    )


def read_checked(path: Path, parse: Callable[[bytes], _Content]) -> _Content:
    """What a file of tensors or settings holds.

    Raises:
        CheckpointError: it cannot be read, or ``parse`` refuses it.
        UntrustedRunError: its settings name a module, and may not.
    """
    with file_errors_as(CheckpointError):
        content = read_bytes(path, _MAX_BYTES)
    try:
        return parse(content)
    except UntrustedRunError:
        raise
    except ConfigError as error:
        problems = "; ".join(error.args)
        raise CheckpointError(f"{path} holds settings that are not valid: {problems}") from None
    except SafetensorError:
        raise CheckpointError(f"{path} is truncated or is not a safetensors file") from None
    except Exception:  # torch and the unpickler raise all kinds of errors for damaged bytes
        raise CheckpointError(
            f"{path} is truncated, or holds more than tensors and plain values and is not trusted"
        ) from None


def parse_settings(path: Path) -> Callable[[bytes], AnyConfig]:
    """What makes settings of the content of ``path``, a file in a run or checkpoint."""
    return lambda content: config_from_mapping(_mapping(content), str(path), path.parent)


def _mapping(content: bytes) -> dict[str, Any]:
    settings = parse_json(content.decode())
    if not isinstance(settings, dict):
        raise TypeError("the settings are not a mapping")
    return settings


def _parse_trainer_state(content: bytes) -> dict[str, Any]:
    check_not_packed(content)
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise TypeError("the trainer's state is not a dictionary")
    return state


def _check_params(path: Path, params: Params, expected: Params) -> None:
    def shapes(params: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        return {name: tuple(param.shape) for name, param in params.items()}

    found, wanted = shapes(params), shapes(expected)
    if found == wanted:
        for name, param in expected.items():
            if params[name].dtype != param.dtype:
                raise CheckpointError(
                    f"{path} is of another model: its {name} is "
                    f"{params[name].dtype}, not {param.dtype}"
                )
        return
    name = min(name for name in found | wanted if found.get(name) != wanted.get(name))
    raise CheckpointError(
        f"{path} is of another model: its {name} has shape "
        f"{found.get(name, 'none')}, where {wanted.get(name, 'none')} belongs"
    )
