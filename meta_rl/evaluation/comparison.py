"""Several models on the same tasks: runs of a setting, and references beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meta_rl.config import AnyConfig, Effect, changed_settings, plain_settings
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.saved_model import SavedModel, with_settings
from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.reading import SentenceError

# Runs of one setting may differ in these, which also make no other task.
_SEEDS = {"run.seed", "run.meta_iterations"}
_NUMBERS = (Effect.PROBLEM, Effect.NUMBERS, Effect.TRAINING)


class ComparisonError(SentenceError):
    """Models that cannot be compared; the message is one sentence."""


@dataclass(frozen=True)
class EvaluatedModel:
    """One model and what adaptation did to it.

    Attributes:
        saved: the model, with the settings of this evaluation.
        step_sizes: of each adaptation step, [K]; empty where the algorithm tells none.
        curve: what it is worth.
        env_steps: environment steps taken at each adaptation step, int [K + 1, M]; None for
            supervised tasks.
    """

    saved: SavedModel
    step_sizes: Sequence[float]
    curve: AdaptationCurve
    env_steps: np.ndarray | None


@dataclass(frozen=True)
class ModelGroup:
    """Models that differ in the seed of their training alone.

    Attributes:
        name: what tables and pictures call them.
        is_reference: whether they are there for comparison only.
        models: one per training run.
    """

    name: str
    is_reference: bool
    models: tuple[EvaluatedModel, ...]

    @property
    def curves(self) -> list[AdaptationCurve]:
        """One per training run."""
        return [model.curve for model in self.models]

    @property
    def env_steps(self) -> list[np.ndarray]:
        """One per training run; none for supervised tasks."""
        return [model.env_steps for model in self.models if model.env_steps is not None]


@dataclass(frozen=True)
class Comparison:
    """Models evaluated on the same tasks.

    Attributes:
        title: what the tasks are, in a word.
        groups: the runs, then the references.
        task_parameter_names: of the tasks.
        tasks: where the tasks are from.
        warnings: sentences that belong to the numbers.
    """

    title: str
    groups: tuple[ModelGroup, ...]
    task_parameter_names: tuple[str, ...]
    tasks: TaskOrigin
    warnings: tuple[str, ...]


def evaluated_like(saved: SavedModel, like: AnyConfig, settings: Mapping[str, Any]) -> SavedModel:
    """A model that is evaluated on the tasks of another, with as many steps, and the same seeds.

    What a network is shown of a task stays its own, as does how it adapts.

    Args:
        saved: the model.
        like: settings of the other.
        settings: changes, by dotted name.
    """
    tasks = _task_settings(like) if like.tasks_are_exchangeable else []
    shared = {
        name: value
        for name, value in plain_settings(like).items()
        if name.startswith("evaluation.") or name in tasks
    }
    return with_settings(saved, shared | dict(settings), "command line")


def as_reference(saved: SavedModel, like: AnyConfig) -> SavedModel:
    """A reference that is evaluated like the runs.

    One whose own settings evaluate it without adaptation, an oracle for example, stays without.

    Args:
        saved: the model.
        like: settings of the runs.
    """
    settings: dict[str, Any] = {"run.device": like.run.device}
    if saved.config.evaluation.num_adaptation_steps == 0:
        settings["evaluation.num_adaptation_steps"] = 0
    return evaluated_like(saved, like, settings)


def check_same_kind(models: Sequence[SavedModel]) -> None:
    """Refuses models of different kinds of tasks.

    Raises:
        ComparisonError: there are some.
    """
    first = models[0]
    for model in models[1:]:
        if model.config.task_section != first.config.task_section:
            raise ComparisonError(
                f"{model.path} and {first.path} are not of the same kind of tasks"
            )


def check_comparable(models: Sequence[SavedModel]) -> None:
    """Refuses models whose numbers mean different things.

    Raises:
        ComparisonError: their tasks, or the horizons of their episodes, differ.
    """
    first = models[0]
    for model in models[1:]:
        changed = changed_settings(first.config, model.config)
        for name in (*_task_settings(first.config), "rollout.horizon"):
            if name in changed:
                mine, theirs = changed[name]
                raise ComparisonError(
                    f"{first.path} and {model.path} cannot be compared: their {name} is "
                    f"{mine} and {theirs}"
                )


def check_distinct(models: Sequence[SavedModel]) -> None:
    """Refuses to count one model for several.

    Raises:
        ComparisonError: a path is there twice.
    """
    paths = [model.path.resolve() for model in models]
    for model, path in zip(models, paths, strict=True):
        if paths.count(path) > 1:
            raise ComparisonError(f"{model.path} is named twice")


def differing_settings(models: Sequence[SavedModel]) -> list[str]:
    """Settings that make other numbers in training, by dotted name, without seed and length."""
    first = models[0].config
    changed = {
        name
        for model in models[1:]
        for name in changed_settings(first, model.config, _NUMBERS)
        if name not in _SEEDS and not name.startswith("evaluation.")
    }
    return [name for name in plain_settings(first) if name in changed] + sorted(
        changed - {*plain_settings(first)}
    )


def _task_settings(config: AnyConfig) -> list[str]:
    """What the tasks are, without what a network is shown of them."""
    return [
        name
        for name in plain_settings(config)
        if name.startswith(f"{config.task_section}.") and name not in config.shown_of_tasks
    ]
