"""Several policies on the same tasks: runs of a setting, and references beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meta_rl.config import Config, config_from_mapping
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.saved_policy import SavedPolicy, evaluate_policy
from meta_rl.problems.evaluation import Evaluation
from meta_rl.problems.evaluation_tasks import TaskOrigin
from meta_rl.rollouts.environments import ShardedEnv, make_env


class ComparisonError(ValueError):
    """Policies that cannot be compared; the message is one sentence."""


@dataclass(frozen=True)
class EvaluatedPolicy:
    """One policy and what adaptation did to it.

    Attributes:
        saved: the policy, with the settings of this evaluation.
        step_sizes: of each adaptation step, [K].
        curve: the returns.
        env_steps: environment steps taken at each adaptation step, int [K + 1, M].
    """

    saved: SavedPolicy
    step_sizes: list[float]
    curve: AdaptationCurve
    env_steps: np.ndarray


@dataclass(frozen=True)
class PolicyGroup:
    """Policies that differ in the seed of their training alone.

    Attributes:
        name: what tables and pictures call them.
        is_reference: whether they are there for comparison only.
        policies: one per training run.
    """

    name: str
    is_reference: bool
    policies: tuple[EvaluatedPolicy, ...]

    @property
    def curves(self) -> list[AdaptationCurve]:
        """One per training run."""
        return [policy.curve for policy in self.policies]


@dataclass(frozen=True)
class Comparison:
    """Policies evaluated on the same tasks.

    Attributes:
        groups: the runs, then the references.
        task_parameter_names: of the environment.
        tasks: where the tasks are from.
        warnings: sentences that belong to the numbers.
    """

    groups: tuple[PolicyGroup, ...]
    task_parameter_names: tuple[str, ...]
    tasks: TaskOrigin
    warnings: tuple[str, ...]

    @property
    def env_id(self) -> str:
        """Of all of them."""
        return self.groups[0].policies[0].saved.config.env.id


def with_settings(saved: SavedPolicy, settings: Mapping[str, Any], source: str) -> SavedPolicy:
    """A saved policy whose evaluation follows other settings.

    Args:
        saved: the policy.
        settings: by dotted name, for example ``{"evaluation.num_tasks": 10}``.
        source: where the settings are from, for messages.

    Raises:
        ConfigError: a setting is out of its range.
    """
    values = saved.config.model_dump(mode="json")
    for name, value in settings.items():
        section, key = name.split(".")
        values[section][key] = value
    changed = config_from_mapping(values, source)
    assert isinstance(changed, Config)
    return replace(saved, config=changed)


def as_reference(saved: SavedPolicy, like: Config) -> SavedPolicy:
    """A reference that is evaluated like the runs: as many steps, episodes, and the same seeds.

    One whose own settings evaluate it without adaptation, an oracle for example, stays without.

    Args:
        saved: the policy.
        like: settings of the runs.
    """
    num_steps = like.evaluation.num_adaptation_steps
    if saved.config.evaluation.num_adaptation_steps == 0:
        num_steps = 0
    settings = {
        **{f"evaluation.{key}": value for key, value in like.evaluation.model_dump().items()},
        "evaluation.num_adaptation_steps": num_steps,
        "run.device": like.run.device,
    }
    return with_settings(saved, settings, str(saved.path))


def check_comparable(policies: Sequence[SavedPolicy]) -> None:
    """Refuses policies whose returns mean different things.

    Raises:
        ComparisonError: environments, their options or horizons differ.
    """
    first = policies[0]
    for policy in policies[1:]:
        for name, mine, theirs in (
            ("env.id", first.config.env.id, policy.config.env.id),
            ("env.options", first.config.env.options, policy.config.env.options),
            ("rollout.horizon", first.config.rollout.horizon, policy.config.rollout.horizon),
        ):
            if mine != theirs:
                raise ComparisonError(
                    f"{first.path} and {policy.path} cannot be compared: their {name} is "
                    f"{mine} and {theirs}"
                )


def check_distinct(policies: Sequence[SavedPolicy]) -> None:
    """Refuses to count one policy for several.

    Raises:
        ComparisonError: a path is there twice.
    """
    paths = [policy.path.resolve() for policy in policies]
    for policy, path in zip(policies, paths, strict=True):
        if paths.count(path) > 1:
            raise ComparisonError(f"{policy.path} is named twice")


def differing_settings(policies: Sequence[SavedPolicy]) -> list[str]:
    """Settings in which training differed, by dotted name, without those of ``run``."""
    settings = [policy.config.model_dump(mode="json") for policy in policies]
    return [
        f"{section}.{key}"
        for section, values in settings[0].items()
        if section not in ("run", "evaluation")
        for key, value in values.items()
        if any(other[section][key] != value for other in settings[1:])
    ]


class Evaluator:
    """Evaluates policies in turn on the same tasks; an environment that fits the next is kept."""

    def __init__(self, tasks: np.ndarray) -> None:
        """``tasks``: [M, P]."""
        self.tasks = tasks
        self._env: ShardedEnv | None = None
        self._made_for: tuple[Any, ...] = ()

    def evaluate(
        self,
        saved: SavedPolicy,
        keep: Callable[[SavedPolicy, Evaluation], None] | None = None,
    ) -> EvaluatedPolicy:
        """Adapts one policy to every task.

        Args:
            saved: the policy.
            keep: called with it and its episodes, of which only the returns stay otherwise.

        Raises:
            CheckpointError, DeviceError, EnvironmentFault, NumericalError: as
                ``evaluate_policy``.
        """
        env = self._environment(saved.config)
        evaluation = evaluate_policy(saved, self.tasks, env)
        if keep is not None:
            keep(saved, evaluation)
        return EvaluatedPolicy(saved, evaluation.step_sizes, evaluation.curve, evaluation.env_steps)

    def close(self) -> None:
        """Ends the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _environment(self, config: Config) -> ShardedEnv:
        rollout = config.rollout
        num_episodes = config.evaluation.episodes_per_task
        wanted = (
            *(config.env, rollout.horizon, num_episodes),
            *(rollout.num_threads, rollout.step_timeout),
        )
        if self._env is None or self._made_for != wanted:
            self.close()
            self._env = make_env(config, len(self.tasks), num_episodes)
            self._made_for = wanted
        return self._env
