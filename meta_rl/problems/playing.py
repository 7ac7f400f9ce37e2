"""How episodes are had: what an algorithm is handed as ``play``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.problems.algorithm_results import check_played_params
from meta_rl.problems.finite_checks import (
    all_finite,
    faults_during,
    quantities_of,
    refuse_first,
    refuse_params,
    task_namer,
)
from meta_rl.rollouts.environments import EnvironmentFault, ShardedEnv
from meta_rl.rollouts.sharded_env import collect_sharded
from meta_rl.runtime.seeding import RandomStreams
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import Carry, Params, RolloutBatch


@dataclass(frozen=True)
class Rollouts:
    """How tasks are played, whoever learns from it.

    Attributes:
        policy: whose parameters are played with.
        episodes_per_task: E.
        horizon: T, longest episode in steps.
        max_diverged_share: largest share of a stage's episodes that may end by divergence.
    """

    policy: nn.Module
    episodes_per_task: int
    horizon: int
    max_diverged_share: float


class TaskPlay:
    """``Play`` on the simulations of an environment.

    The k-th call is stage k and has random numbers of its own. It keeps the episodes as they were,
    counts ``sampling``, and the time between two calls as ``adapting``.

    Attributes:
        num_tasks: M.
        episodes: of all stages so far, observations as the environment gave them.
        seen: the same, observations as the policies saw them.
    """

    def __init__(
        self,
        rollouts: Rollouts,
        env: ShardedEnv,
        tasks: np.ndarray,
        streams: RandomStreams,
        *,
        algorithm: Any,
        name: str,
        clock: StageClock,
        normaliser: ObservationNormaliser | None = None,
    ) -> None:
        """Nothing is played yet.

        Args:
            rollouts: how.
            env: ``len(tasks) * episodes_per_task`` simulations.
            tasks: [M, P].
            streams: random numbers.
            algorithm: who will play, asked for its quantities where a number is not finite.
            name: ``algorithm.name``.
            clock: counts seconds.
            normaliser: what policies see observations through.
        """
        self.num_tasks = len(tasks)
        self.episodes: list[RolloutBatch] = []
        self._rollouts, self._env, self._tasks, self._streams = rollouts, env, tasks, streams
        self._algorithm, self._name, self._clock = algorithm, name, clock
        self._normaliser = normaliser
        self.seen: list[RolloutBatch] = []
        self._params: Params | None = None

    def __call__(self, params: Params, carry: Carry = ()) -> RolloutBatch:
        """See ``Play``.

        Raises:
            EnvironmentFault: an environment raised, hung, died or returned numbers that are not
                finite, or too many simulations diverged.
            NumericalError: a parameter or an action is not finite.
            AlgorithmError: these are not the policy's parameters.
        """
        stage = len(self.episodes)
        if stage:
            self._clock.count_since_mark("adapting")
        with faults_during(f"adaptation step {stage}"):
            self._check_params(params)
            with self._clock.measure("sampling"):
                episodes = self._collect(stage, params, carry)
            _check_diverged(episodes, self._rollouts.max_diverged_share)
        self.episodes.append(episodes)
        self._clock.mark()
        if self._normaliser is not None:
            episodes = replace(episodes, observation=self._normaliser(episodes.observation))
        self.seen.append(episodes)
        self._params = params
        return episodes

    def reset_seeds(self, stage: int) -> np.ndarray:
        """What the episodes of a stage began with, int [M, E]."""
        num_episodes = self._rollouts.episodes_per_task
        seeds = self._streams.reset_seeds(stage, self.num_tasks, num_episodes)
        return np.array(seeds).reshape(self.num_tasks, num_episodes)

    @property
    def name_of(self) -> Callable[[int], str]:
        """Index of a task -> its name."""
        return task_namer(self._tasks, self._env.task_parameter_names)

    def _collect(self, stage: int, params: Params, carry: Carry) -> RolloutBatch:
        rollouts, env = self._rollouts, self._env
        shape = (self.num_tasks, rollouts.episodes_per_task, rollouts.horizon)
        device = next(iter(params.values())).device
        return collect_sharded(
            rollouts.policy,
            params,
            env,
            self._tasks,
            reset_seeds=self._streams.reset_seeds(stage, *shape[:2]),
            noise=self._streams.action_noise(stage, (*shape, env.action_size), device),
            normaliser=self._normaliser,
            carry=carry,
        )

    def _check_params(self, params: Params) -> None:
        like: Params = {**dict(self._rollouts.policy.named_parameters())}
        check_played_params(self._name, params, like, self.num_tasks)
        if all_finite(params.values()):
            return
        if self._params is None:
            refuse_params(params, "the meta-parameter")
        else:
            computed = quantities_of(self._algorithm, "adaptation", self._params, self.seen[-1])
            refuse_first(computed, self.name_of)
        named = ((f"the adapted parameter {name}", value) for name, value in params.items())
        refuse_first(named, self.name_of)


def _check_diverged(episodes: RolloutBatch, max_share: float) -> None:
    num_episodes = episodes.valid[..., 0].numel()
    if episodes.num_diverged > max_share * num_episodes:
        raise EnvironmentFault(
            f"{episodes.num_diverged} of {num_episodes} simulations diverged, a greater share "
            f"than rollout.max_diverged_share={max_share:g} allows"
        )
