"""What a run has left behind: a model with the settings that it is evaluated with."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from meta_rl.config import (
    AnyConfig,
    Config,
    ConfigError,
    Effect,
    changed_settings,
    config_from_mapping,
    load_config,
)
from meta_rl.config import with_settings as sections_with
from meta_rl.problems.rl import evaluation_context, initial_state, make_algorithm, policy_for
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.rollouts.environments import make_env
from meta_rl.runs.best_checkpoint import checkpoint_path, read_best
from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runs.trainer_state import TrainerState, kept_memory, restored_model
from meta_rl.runs.trusted_runs import check_trusted, trust_files
from meta_rl.types import Params


@dataclass(frozen=True)
class SavedModel:
    """What a run on any kind of tasks has learned, and its settings.

    Attributes:
        path: the run directory or checkpoint that the user named.
        meta_iteration: number of completed meta-iterations.
        params: the meta-parameters and, if observations are normalised, their statistics, on the
            CPU.
        config: the settings of the run.
        memory: what the algorithm remembers, as the checkpoint has it; empty where it keeps none.
        warnings: a sentence for each damaged checkpoint that had to be passed over.
    """

    path: Path
    meta_iteration: int
    params: Params
    config: AnyConfig
    memory: Any = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name

    def state(self, initial: TrainerState, device: torch.device) -> TrainerState:
        """Where adaptation starts, on ``device``.

        Raises:
            CheckpointError: it is of another model or algorithm than the initial state.
        """
        return restored_model(self.path, self.params, self.memory, initial, device)


def load_model(path: Path, *, trust: bool = False) -> SavedModel:
    """Loads the best model of a run, or that of one checkpoint.

    Args:
        path: a run directory (where nothing was evaluated yet, the newest checkpoint counts), or
            a checkpoint's folder.
        trust: the modules that its settings name may be imported, now and later.

    Raises:
        CheckpointError: there is no checkpoint, or none that can be read.
        UntrustedRunError: its settings name a module, and the run was not started here.
    """
    if trust:
        trust_files(path)
    best = read_best(path)
    source = path if best is None else checkpoint_path(path, best.meta_iteration)
    checkpoint = load_checkpoint(source)
    config = settings_of_run(path, checkpoint.config)
    check_trusted(path, config)
    return SavedModel(
        path,
        checkpoint.meta_iteration,
        checkpoint.params,
        config,
        kept_memory(checkpoint),
        checkpoint.warnings,
    )


def settings_of_run(path: Path, checkpoint: AnyConfig) -> AnyConfig:
    """Those of ``config.yaml``: a checkpoint's own may be of before a resume that changed some.

    The run ended with them, so its tests are repeated with them.

    Args:
        path: what the user named, a run directory or one checkpoint.
        checkpoint: the settings of the checkpoint that was loaded; they stay where there is no
            ``config.yaml`` of the same tasks, model and algorithm.
    """
    file = path / "config.yaml"
    if not file.is_file():
        return checkpoint
    try:
        run = load_config(str(file))
    except ConfigError:
        return checkpoint
    return checkpoint if changed_settings(checkpoint, run, (Effect.PROBLEM,)) else run


def with_settings(saved: SavedModel, settings: Mapping[str, Any], source: str) -> SavedModel:
    """A saved model whose evaluation follows other settings.

    Args:
        saved: the model.
        settings: by dotted name, for example ``{"evaluation.num_tasks": 10}``.
        source: where the settings are from, for messages.

    Raises:
        ConfigError: the run has no such setting, or it is out of its range.
    """
    config = config_from_mapping(sections_with(saved.config, settings), source)
    return replace(saved, config=config)


def untrained_model(saved: SavedModel) -> SavedModel:
    """The model that a run started from.

    Raises:
        DatasetError, EnvironmentFault: the tasks, which the model must fit, cannot be had.
    """
    config = saved.config
    if isinstance(config, Config):
        with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
            device = torch.device("cpu")
            policy = policy_for(config, env, device)
            context = evaluation_context(config, device)
            initial = initial_state(config, make_algorithm(config, policy, context), env)
    else:
        with SupervisedProblem(config) as problem:
            initial = problem.initial_state()
    return SavedModel(saved.path, 0, initial.model, config)
