"""What a run of each kind is made of, so that starting and resuming are written once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meta_rl.config import AnyConfig, Config, FewShotRunConfig, SineRunConfig
from meta_rl.training.record.evaluation_table import RL_VALUE_NAMES
from meta_rl.training.record.progress import (
    FEW_SHOT_COLUMNS,
    RL_COLUMNS,
    SINE_COLUMNS,
    ProgressColumns,
)
from meta_rl.training.rl_experiment import RLExperiment
from meta_rl.training.rl_loop import train
from meta_rl.training.supervised_experiment import SupervisedExperiment
from meta_rl.training.supervised_loop import train_supervised
from meta_rl.training.supervised_state import restore_supervised
from meta_rl.training.task_sources import SineSource, class_names
from meta_rl.training.trainer_state import restore


@dataclass(frozen=True)
class RunKind:
    """Parts that fit together; experiments and states of one kind mean nothing to another.

    Attributes:
        experiment: (settings, ranks) -> experiment, a context manager with ``config``, ``device``
            and ``initial_params``.
        initial_state: experiment -> state before the first meta-iteration.
        restore: (checkpoint, device) -> state.
        train: (experiment, state, log) -> last state.
        evaluate: (experiment, state, split) -> curve on held-out tasks.
        task_parameter_names: experiment -> names of the entries of a task.
        title: settings -> what is trained, in a word.
        fixed_sections: settings that a resumed run may not change.
        value_names: last columns of ``evaluation.csv``.
        columns: what the screen shows.
    """

    experiment: Callable[..., Any]
    initial_state: Callable[[Any], Any]
    restore: Callable[..., Any]
    train: Callable[..., Any]
    evaluate: Callable[..., Any]
    task_parameter_names: Callable[[Any], tuple[str, ...]]
    title: Callable[[Any], str]
    fixed_sections: tuple[str, ...]
    value_names: tuple[str, ...]
    columns: ProgressColumns


_RL = RunKind(
    experiment=RLExperiment,
    initial_state=lambda experiment: experiment.initial_state,
    restore=restore,
    train=train,
    evaluate=lambda experiment, state, split: experiment.evaluate(
        state.meta_params, split, state.observation_moments
    ),
    task_parameter_names=lambda experiment: experiment.env.task_parameter_names,
    title=lambda config: config.env.id,
    fixed_sections=("env", "policy"),
    value_names=RL_VALUE_NAMES,
    columns=RL_COLUMNS,
)


def _supervised(
    section: str,
    title: Callable[[Any], str],
    value_names: tuple[str, ...],
    columns: ProgressColumns,
) -> RunKind:
    return RunKind(
        experiment=SupervisedExperiment,
        initial_state=lambda experiment: experiment.initial_state,
        restore=restore_supervised,
        train=train_supervised,
        evaluate=lambda experiment, state, split: experiment.evaluate(
            state.meta_params, split, state.moments
        ),
        task_parameter_names=lambda experiment: experiment.task_parameter_names,
        title=title,
        fixed_sections=(section, "network"),
        value_names=value_names,
        columns=columns,
    )


_KINDS: dict[type[AnyConfig], RunKind] = {
    Config: _RL,
    SineRunConfig: _supervised("sine", lambda config: "sinusoids", ("loss",), SINE_COLUMNS),
    FewShotRunConfig: _supervised(
        "few_shot",
        lambda config: f"{config.few_shot.ways}-way {config.few_shot.dataset}",
        ("loss", "accuracy"),
        FEW_SHOT_COLUMNS,
    ),
}


def parameter_names_of(config: SineRunConfig | FewShotRunConfig) -> tuple[str, ...]:
    """Names of the entries of a supervised task."""
    if isinstance(config, SineRunConfig):
        return SineSource.task_parameter_names
    return class_names(config.few_shot.ways)


def kind_of(config: AnyConfig) -> RunKind:
    """The parts of a run with these settings."""
    return _KINDS[type(config)]
