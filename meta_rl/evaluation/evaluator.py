"""Saved models adapted to test tasks, with the verb that training uses."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from meta_rl.config import Config, SineRunConfig
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.evaluation.held_out_tasks import sampled_tasks
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.problems.evaluation import Evaluation
from meta_rl.problems.rl import (
    evaluate_on,
    evaluation_context,
    initial_state,
    make_algorithm,
    policy_for,
)
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.rollouts.environments import ShardedEnv, make_env
from meta_rl.runtime.device import resolve_device
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.types import Examples, SupervisedBatch


@dataclass(frozen=True)
class AdaptedTasks:
    """Supervised test tasks, and what a model says about some inputs before and after each step.

    Attributes:
        support: what it was adapted to.
        query: the inputs that were asked about.
        prediction: [M, K + 1, X, output].
        curve: what it is worth.
        step_sizes: none that are told.
        env_steps: none, as no environment is stepped.
    """

    support: Examples
    query: Examples
    prediction: Tensor
    curve: AdaptationCurve
    step_sizes: Sequence[float] = ()
    env_steps: None = None


class Evaluator:
    """Evaluates models in turn on the same tasks; an environment that fits the next is kept."""

    def __init__(self, tasks: np.ndarray | None = None) -> None:
        """``tasks``: [M, P] of an environment; without them, the settings of each model draw."""
        self.tasks = tasks
        self._env: ShardedEnv | None = None
        self._made_for: tuple[Any, ...] = ()

    def evaluate(self, saved: SavedModel) -> Evaluation | AdaptedTasks:
        """Adapts a model to every task, as its settings say.

        With the settings that the run had, the tasks are the test tasks that training ended with,
        and so are the numbers, bit for bit on the same device.

        Raises:
            CheckpointError: the model does not fit the tasks.
            DatasetError, DeviceError, EnvironmentFault, NumericalError, AlgorithmError: as the
                problem of its kind.
        """
        if isinstance(saved.config, Config):
            return evaluate_episodes(saved, self.tasks, self._environment(saved.config))
        return evaluate_examples(saved)

    def close(self) -> None:
        """Ends the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _environment(self, config: Config) -> ShardedEnv:
        rollout, evaluation = config.rollout, config.evaluation
        num_tasks = evaluation.num_tasks if self.tasks is None else len(self.tasks)
        wanted = (
            *(config.env, rollout.horizon, num_tasks, evaluation.episodes_per_task),
            *(rollout.num_threads, rollout.step_timeout),
        )
        if self._env is None or self._made_for != wanted:
            self.close()
            self._env = make_env(config, num_tasks, evaluation.episodes_per_task)
            self._made_for = wanted
        return self._env


def evaluate_model(saved: SavedModel, tasks: np.ndarray | None = None) -> Evaluation | AdaptedTasks:
    """Adapts one model to test tasks, or to these of its environment; see ``Evaluator``."""
    with closing(Evaluator(tasks)) as evaluator:
        return evaluator.evaluate(saved)


def evaluate_episodes(saved: SavedModel, tasks: np.ndarray | None, env: ShardedEnv) -> Evaluation:
    """Adapts a policy; see ``Evaluator``.

    Args:
        saved: the policy.
        tasks: [M, P]; None for the test tasks of its settings.
        env: simulations for the tasks times the number of episodes.
    """
    config = saved.config
    assert isinstance(config, Config)
    device = resolve_device(config.run.device)
    policy = policy_for(config, env, device)
    algorithm = make_algorithm(config, policy, evaluation_context(config, device))
    state = saved.state(initial_state(config, algorithm, env), device)
    streams = RandomStreams(config.evaluation.seed, Split.TEST, meta_iteration=0)
    if tasks is None:
        tasks = sampled_tasks(env, config.evaluation.num_tasks, config.evaluation.seed)
    return evaluate_on(config, algorithm, policy, state, env, tasks, streams)


def evaluate_examples(
    saved: SavedModel, num_tasks: int | None = None, grid_size: int | None = None
) -> AdaptedTasks:
    """Adapts a network to supervised tasks; see ``Evaluator``.

    Args:
        saved: the network.
        num_tasks: how many test tasks; None for as many as its settings say.
        grid_size: ask about so many even points in place of random queries, if tasks are sinusoids.
    """
    config = saved.config
    assert not isinstance(config, Config)
    with SupervisedProblem(config) as problem:
        state = saved.state(problem.initial_state(), problem.device)
        number = config.evaluation.num_tasks if num_tasks is None else num_tasks
        task, data = problem.held_out_data(Split.TEST, number)
        if grid_size is not None and isinstance(config, SineRunConfig):
            query = problem.sine_grid(task, grid_size)
            data = replace(data, batch=SupervisedBatch(data.batch.support, query))
        prediction = problem.predict(state, data)
        return AdaptedTasks(
            Examples(*(entry.cpu() for entry in data.batch.support)),
            Examples(*(entry.cpu() for entry in data.batch.query)),
            prediction.cpu(),
            problem.curve(task, data, prediction),
        )
