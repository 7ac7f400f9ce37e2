"""Training and evaluation as functions; what the commands print is returned."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.config import AnyConfig, Config, ConfigError, load_config
from meta_rl.evaluation.comparison import EvaluatedModel
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.packaged_runs import find_run
from meta_rl.evaluation.saved_model import load_model, with_settings
from meta_rl.runs.plain_line import plain_console
from meta_rl.runs.trusted_runs import check_trusted, run_of_file, trust_files
from meta_rl.training.jobs import TrainingResult, start_run

Overrides = Sequence[str] | Mapping[str, Any]


def train(
    config: str | Path | AnyConfig,
    overrides: Overrides = (),
    *,
    quiet: bool = False,
    trust: bool = False,
) -> TrainingResult:
    """Meta-trains in a new run directory, as ``meta-rl train`` does.

    Args:
        config: a preset's name, the path of a YAML file, or settings from ``load_config``.
        overrides: settings to change, ``["run.seed=1"]`` or ``{"run.seed": 1}``.
        quiet: show no progress.
        trust: where the file is part of a run that was not started here, the modules that it names
            may be imported, now and later.

    Returns:
        ``path``, the run directory, and ``curves``, the adaptation curves of the untrained and the
        best policy on the test tasks, by name.

    Raises:
        ConfigError: with every problem of the settings.
        RunDirectoryError, DatasetError, DeviceError, EnvironmentFault, NumericalError,
            AlgorithmError: as ``start_run``.
    """
    if isinstance(config, str | Path):
        name, settings = str(config), _loaded(str(config), overrides, trust=trust)
    else:
        name, settings = "run", config
        if overrides:
            raise ConfigError("overrides belong to a preset or a file, not to loaded settings")
    return start_run(settings, Path(name).stem, plain_console(quiet=quiet))


def evaluate(
    run: str | Path,
    settings: Mapping[str, Any] | None = None,
    *,
    tasks: np.ndarray | None = None,
    trust: bool = False,
) -> EvaluatedModel:
    """Adapts what a run has learned to test tasks, as ``meta-rl evaluate`` does.

    Args:
        run: a run directory, a checkpoint or ``pretrained/NAME``.
        settings: of the run to change, ``{"evaluation.num_tasks": 10}``.
        tasks: [M, P] of the environment, in place of the test tasks; for reinforcement learning.
        trust: as in ``load``.

    Returns:
        ``curve`` has the returns [task, step, episode], or the errors of supervised tasks, with
        means and intervals over the tasks. Nothing is written.

    Raises:
        CheckpointError, ConfigError, UntrustedRunError: the run or a setting is not right.
        DatasetError, DeviceError, EnvironmentFault, NumericalError, AlgorithmError: as
            ``Evaluator``.
    """
    saved = load_model(find_run(Path(run)), trust=trust)
    saved = with_settings(saved, settings or {}, "settings of evaluate")
    if tasks is not None:
        if not isinstance(saved.config, Config):
            raise ConfigError("tasks can be given for runs of reinforcement learning only")
        given = np.asarray(tasks, dtype=np.float64)
        if given.ndim != 2 or not len(given):
            raise ConfigError(f"tasks should be [task, parameter], not of shape {given.shape}")
        tasks = given
    found = evaluate_model(saved, tasks)
    return EvaluatedModel(saved, found.step_sizes, found.curve, found.env_steps)


def _loaded(name: str, overrides: Overrides, *, trust: bool) -> AnyConfig:
    changes = (
        [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
        if isinstance(overrides, Mapping)
        else [*overrides]
    )
    run = run_of_file(Path(name)) if Path(name).is_file() else None
    if run is not None and trust:
        trust_files(Path(name))
    config = load_config(name, changes)
    if run is not None and not any(change.startswith("env.id=") for change in changes):
        check_trusted(run, config)
    return config
