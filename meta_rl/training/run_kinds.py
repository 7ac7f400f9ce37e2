"""What a run of each kind is made of, so that starting and resuming are written once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meta_rl.config import AnyConfig, Config, FewShotRunConfig, SineRunConfig
from meta_rl.problems.evaluation_tasks import TaskOrigin, origin_of_test_tasks
from meta_rl.problems.rl_experiment import RLExperiment
from meta_rl.problems.supervised_experiment import SupervisedExperiment
from meta_rl.problems.task_sources import SineSource, class_names
from meta_rl.runs.evaluation_table import RL_VALUE_NAMES
from meta_rl.runs.progress import (
    FEW_SHOT_COLUMNS,
    RL_COLUMNS,
    SINE_COLUMNS,
    ProgressColumns,
)
from meta_rl.runs.supervised_state import restore_supervised
from meta_rl.runs.trainer_state import restore
from meta_rl.training.rl_loop import train
from meta_rl.training.supervised_loop import train_supervised


@dataclass(frozen=True)
class RunKind:
    """Parts that fit together; experiments and states of one kind mean nothing to another.

    Attributes:
        experiment: (settings, ranks) -> experiment, a context manager with ``config``, ``device``
            and ``initial_params``.
        initial_state: experiment -> state before the first meta-iteration.
        restore: (checkpoint, device) -> state.
        train: (experiment, state, log) -> last state.
        evaluate: (experiment, state, split) -> curve on the tasks of that split.
        test_origin: (experiment, test tasks) -> what may be said of these tasks.
        task_parameter_names: experiment -> names of the entries of a task.
        title: settings -> what is trained, in a word.
        fixed_sections: settings that a resumed run may not change.
        without_effect_on_scores: settings of adapting and evaluating, by dotted name,
            that leave the meaning of a validation score as it is.
        value_names: last columns of ``evaluation.csv``.
        columns: what the screen shows.
    """

    experiment: Callable[..., Any]
    initial_state: Callable[[Any], Any]
    restore: Callable[..., Any]
    train: Callable[..., Any]
    evaluate: Callable[..., Any]
    test_origin: Callable[[Any, Any], TaskOrigin]
    task_parameter_names: Callable[[Any], tuple[str, ...]]
    title: Callable[[Any], str]
    fixed_sections: tuple[str, ...]
    without_effect_on_scores: frozenset[str]
    value_names: tuple[str, ...]
    columns: ProgressColumns


# Evaluation has a number of steps of its own, and no derivatives of its steps.
_WITHOUT_EFFECT_ON_SCORES = frozenset(
    {"evaluation.every", "adaptation.num_adaptation_steps", "adaptation.first_order"}
)

_RL = RunKind(
    experiment=RLExperiment,
    initial_state=lambda experiment: experiment.initial_state,
    restore=restore,
    train=train,
    evaluate=lambda experiment, state, split: experiment.evaluate(
        state.meta_params, split, state.observation_moments
    ),
    test_origin=lambda experiment, tasks: origin_of_test_tasks(
        experiment.env, tasks, experiment.config.run.seed
    ),
    task_parameter_names=lambda experiment: experiment.env.task_parameter_names,
    title=lambda config: config.env.id,
    fixed_sections=("env", "policy"),
    without_effect_on_scores=_WITHOUT_EFFECT_ON_SCORES
    | {
        *("adaptation.multi_step", "rollout.meta_batch_size", "rollout.episodes_per_task"),
        *("rollout.num_threads", "rollout.step_timeout", "rollout.max_diverged_share"),
    },
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
        # Sinusoids are never drawn twice, and image classes of the splits differ.
        test_origin=lambda experiment, tasks: TaskOrigin("held-out tasks", held_out=True),
        task_parameter_names=lambda experiment: experiment.task_parameter_names,
        title=title,
        fixed_sections=(section, "network"),
        without_effect_on_scores=_WITHOUT_EFFECT_ON_SCORES,
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


def changed_score_settings(before: AnyConfig, now: AnyConfig) -> list[str]:
    """Settings, by dotted name, whose change gives validation scores another meaning.

    Args:
        before: settings of a run.
        now: settings of the same kind of run.
    """
    without_effect = kind_of(now).without_effect_on_scores
    return [
        name
        for name in changed_settings(before, now)
        if name.partition(".")[0] in ("adaptation", "rollout", "evaluation")
        and name not in without_effect
    ]


def changed_settings(before: AnyConfig, now: AnyConfig) -> dict[str, tuple[Any, Any]]:
    """Settings of the same kind of run that differ, by dotted name, and their two values."""
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    return {
        f"{section}.{key}": (old[section][key], value)
        for section, values in new.items()
        for key, value in values.items()
        if old[section][key] != value
    }
