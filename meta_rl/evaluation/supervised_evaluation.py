"""Initialisations that supervised runs have left behind, adapted to the same held-out tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meta_rl.config import (
    ConfigError,
    FewShotRunConfig,
    SineRunConfig,
    config_from_mapping,
    load_config,
)
from meta_rl.curves.supervised_curve import SupervisedCurve
from meta_rl.evaluation.comparison import ComparisonError
from meta_rl.evaluation.run_settings import settings_of_run
from meta_rl.ops.adam import AdamMoments
from meta_rl.problems.supervised_experiment import SupervisedExperiment
from meta_rl.runs.checkpoint import (
    CheckpointError,
    checkpoint_path,
    fitting_params,
    load_checkpoint,
    read_best,
)
from meta_rl.runs.supervised_state import restore_moments
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.types import Examples, Params, SupervisedBatch

# What a network was trained to see stays its own; all other task settings are the first run's.
_OWN_SETTINGS = ("oracle", "invert")


@dataclass(frozen=True)
class SavedInitialisation:
    """Meta-parameters and the settings that they are evaluated with.

    Attributes:
        path: the run directory or checkpoint that the user named.
        meta_iteration: number of completed meta-iterations.
        params: the meta-parameters, on the CPU.
        moments: what ``SupervisedState`` remembers, on the CPU.
        config: the settings.
        warnings: a sentence for each damaged checkpoint that had to be passed over.
    """

    path: Path
    meta_iteration: int
    params: Params
    moments: AdamMoments | None
    config: SineRunConfig | FewShotRunConfig
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the run."""
        return self.path.resolve().name


@dataclass(frozen=True)
class AdaptedTasks:
    """Held-out tasks, and what an initialisation says about some inputs before and after steps.

    Attributes:
        task: [M, P].
        support: what it was adapted to.
        query: the inputs that were asked about.
        prediction: [M, K + 1, X, output].
    """

    task: np.ndarray
    support: Examples
    query: Examples
    prediction: torch.Tensor


def is_supervised(path: Path) -> bool:
    """Whether this is the directory of a run on supervised tasks, or a checkpoint of one."""
    for file in (path / "config.yaml", path / "config.json"):
        if file.is_file():
            try:
                config = load_config(str(file))
            except ConfigError:
                return False
            return isinstance(config, SineRunConfig | FewShotRunConfig)
    return False


def load_initialisations(
    paths: Sequence[Path], settings: Mapping[str, Any]
) -> list[SavedInitialisation]:
    """Loads the best initialisation of each run and brings all to the tasks of the first.

    Args:
        paths: run directories or checkpoints.
        settings: changes to the settings, by dotted name.

    Raises:
        CheckpointError: there is nothing to load, or it is of another kind.
        ComparisonError: the runs are not of the same kind of tasks.
        ConfigError: a setting is out of its range.
    """
    first = _changed(_load(paths[0]), settings)
    loaded = [first, *(_like(first, _load(path), settings) for path in paths[1:])]
    names = [saved.name for saved in loaded]
    for name in names:
        if names.count(name) > 1:
            raise ComparisonError(
                f"two of the runs are called {name}, so that a reader mixes them up"
            )
    return loaded


def evaluate_initialisation(saved: SavedInitialisation) -> SupervisedCurve:
    """Adapts to the test tasks; with a run's own settings, those that training ended with.

    Raises:
        CheckpointError: the parameters do not fit the network.
        DatasetError, DeviceError: as ``SupervisedExperiment``.
    """
    with SupervisedExperiment(saved.config) as experiment:
        params, moments = _on_device(saved, experiment)
        return experiment.evaluate(params, Split.TEST, moments)


def adapt_to_tasks(
    saved: SavedInitialisation, num_tasks: int, grid_size: int | None
) -> AdaptedTasks:
    """Adapts to the first test tasks and keeps the predictions.

    Args:
        saved: the initialisation.
        num_tasks: how many tasks.
        grid_size: for sinusoids, ask about so many even points in place of random queries.

    Raises:
        CheckpointError, DatasetError, DeviceError: as ``evaluate_initialisation``.
    """
    config = saved.config
    with SupervisedExperiment(config) as experiment:
        rng = RandomStreams(config.evaluation.seed, Split.TEST, 0).task_generator()
        task, batch, index = experiment.held_out_batch(Split.TEST, num_tasks, rng)
        if grid_size is not None:
            query = experiment.sine_grid(task, grid_size)
            batch = SupervisedBatch(batch.support, query)
        params, moments = _on_device(saved, experiment)
        prediction = experiment.predict_steps(params, batch, index, moments)
    return AdaptedTasks(
        task,
        Examples(*(entry.cpu() for entry in batch.support)),
        Examples(*(entry.cpu() for entry in batch.query)),
        prediction.cpu(),
    )


def _load(path: Path) -> SavedInitialisation:
    best = read_best(path)
    source = path if best is None else checkpoint_path(path, best.meta_iteration)
    checkpoint = load_checkpoint(source)
    config = settings_of_run(path, checkpoint.config)
    if not isinstance(config, SineRunConfig | FewShotRunConfig):
        raise CheckpointError(f"{path} is no run on supervised tasks")
    return SavedInitialisation(
        path,
        checkpoint.meta_iteration,
        checkpoint.params,
        restore_moments(checkpoint, torch.device("cpu")),
        config,
        checkpoint.warnings,
    )


def _changed(saved: SavedInitialisation, settings: Mapping[str, Any]) -> SavedInitialisation:
    values = saved.config.model_dump(mode="json")
    for name, value in settings.items():
        section, key = name.split(".")
        values[section][key] = value
    config = config_from_mapping(values, "command line")
    assert isinstance(config, SineRunConfig | FewShotRunConfig)
    return replace(saved, config=config)


def _like(
    first: SavedInitialisation, saved: SavedInitialisation, settings: Mapping[str, Any]
) -> SavedInitialisation:
    """The same tasks and steps as the first run's; inner rule and network stay its own."""
    if type(saved.config) is not type(first.config):
        raise ComparisonError(f"{saved.path} and {first.path} are not of the same kind of tasks")
    section = first.config.task_section
    shared = {
        f"{section}.{key}": value
        for key, value in getattr(first.config, section)
        if key not in _OWN_SETTINGS
    }
    shared |= {f"evaluation.{key}": value for key, value in first.config.evaluation}
    return _changed(saved, shared | dict(settings))


def _on_device(
    saved: SavedInitialisation, experiment: SupervisedExperiment
) -> tuple[Params, AdamMoments | None]:
    params = fitting_params(saved.path, saved.params, experiment.initial_params)
    params = {name: value.to(experiment.device) for name, value in params.items()}
    if saved.moments is None:
        return params, None
    return params, AdamMoments(*(entry.to(experiment.device) for entry in saved.moments))
