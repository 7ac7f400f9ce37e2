"""Reinforcement learning: tasks of an environment, played by a policy, scored by their returns."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from meta_rl.algorithms.protocol import TrainingContext
from meta_rl.config import Config, algorithm_class
from meta_rl.curves.adaptation_curve import (
    EPISODE_RETURN,
    AdaptationCurve,
    joined_curve,
    value_names,
)
from meta_rl.curves.episode_summary import EpisodeSummary, episode_summary, joined_summary
from meta_rl.models.observation_normaliser import observation_normaliser
from meta_rl.models.policy import make_policy
from meta_rl.ops.moments import Moments, joined_moments, no_moments
from meta_rl.problems.algorithm_results import (
    check_played,
    checked_initial_state,
    checked_update,
    not_finite,
)
from meta_rl.problems.baseline_note import evaluation_note, training_note
from meta_rl.problems.evaluation import Evaluation, evaluate
from meta_rl.problems.evaluation_tasks import evaluation_tasks, origin_of_test_tasks
from meta_rl.problems.finite_checks import (
    all_finite,
    faults_during,
    quantities_of,
    refuse_first,
    refuse_params,
)
from meta_rl.problems.playing import Rollouts, TaskPlay
from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.rollouts.action_spaces import PolicySizes
from meta_rl.rollouts.environments import ShardedEnv, make_env
from meta_rl.rollouts.sampler import NumericalError
from meta_rl.runs.progress import Cell, RowFormat, Shown, format_returns, seconds_cell
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.compilation import update_compiler
from meta_rl.runtime.device import resolve_device, steps_per_chunk
from meta_rl.runtime.notes import Notes
from meta_rl.runtime.ranks import ALONE, Ranks, num_tasks_in
from meta_rl.runtime.seeding import (
    RandomStreams,
    Split,
    algorithm_generator,
    parameter_generator,
)
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import AlgorithmState


class RLProblem:
    """A ``Problem``: everything that training and evaluation share, made once from the settings.

    Attributes:
        config: the settings.
        ranks: the processes that share the tasks.
        device: where tensors live.
        env: the simulations of this rank's share of the meta-batch.
        policy: with its initial parameters.
        algorithm: what learns.
        training_share: which tasks of the meta-batch are this rank's.
        evaluation_share: which of the validation or test tasks.
        notes: lines for the user.
    """

    value_names = value_names((EPISODE_RETURN,))

    def __init__(self, config: Config, ranks: Ranks = ALONE) -> None:
        """Starts the environments.

        Raises:
            DeviceError: the device is not there.
            EnvironmentFault: the environment cannot be made.
            RankError: there are more ranks than tasks.
        """
        self.config = config
        self.ranks = ranks
        self.device = resolve_device(config.run.device, ranks.local_rank)
        self.notes = Notes()
        self.training_share = ranks.share(config.run.meta_batch_size)
        self.evaluation_share = ranks.share(config.evaluation.num_tasks)
        self.env = make_env(
            config,
            num_tasks_in(self.training_share),
            config.rollout.episodes_per_task,
            check=True,
        )
        self._evaluation_env: ShardedEnv | None = None
        self.policy = policy_for(config, self.env, self.device)
        self.algorithm = make_algorithm(config, self.policy, self._context())

    @property
    def title(self) -> str:
        """The environment."""
        return self.config.env.id

    @property
    def task_parameter_names(self) -> tuple[str, ...]:
        """The name of each entry of a task."""
        return self.env.task_parameter_names

    @property
    def row_format(self) -> RowFormat:
        """Returns while adapting, what the algorithm shows, and the cost."""
        show: Shown = getattr(self.algorithm, "progress", lambda record: {})

        def cells(record: Mapping[str, Any]) -> list[Cell]:
            returns = format_returns(record["train_return"], record["train_return_interval"])
            rate = f"{record['env_steps_per_second']:,.0f}"
            return [
                Cell("return before -> after adapting", returns),
                *(Cell(header, text, f"{header} {{}}") for header, text in show(record).items()),
                Cell("env steps/s while sampling", rate, "{} steps/s"),
                seconds_cell(record, ("sampling", "adapting", "updating")),
            ]

        return RowFormat(cells, "validation_return", format_returns)

    def initial_state(self) -> TrainerState:
        """See ``Problem``."""
        return initial_state(self.config, self.algorithm, self.env)

    def warnings(self) -> Sequence[str]:
        """Where the baseline has too few steps for its features."""
        size = self.env.observation_size
        notes = (note(self.config, size) for note in (training_note, evaluation_note))
        return [note for note in notes if note]

    def around_training(self) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def meta_iteration(
        self, state: TrainerState, clock: StageClock
    ) -> tuple[TrainerState, Mapping[str, Any]]:
        """See ``Problem``."""
        play = self._play(state, clock)
        name, before = self.config.algorithm.name, state.learned
        result = self.algorithm.update(before, play, state.meta_iteration)
        learned, metrics = checked_update(name, result, before)
        check_played(name, len(play.episodes))
        clock.count_since_mark("updating")
        with faults_during("meta-update"):
            self._check_finite(before, learned, metrics, play)
        normalises = state.observation_moments is not None
        mine = episode_summary(play.episodes, with_moments=normalises)
        summary = joined_summary(self.ranks.gather(mine))
        next_state = replace(
            state,
            learned=learned,
            observation_moments=_grown(state.observation_moments, summary),
            meta_iteration=state.meta_iteration + 1,
            env_steps=state.env_steps + summary.env_steps,
        )
        return next_state, {**_summary_metrics(summary), **metrics, **_policy_metrics(learned)}

    def evaluate(self, state: TrainerState, split: Split) -> AdaptationCurve:
        """See ``Problem``."""
        evaluation, share = self.config.evaluation, self.evaluation_share
        if self._evaluation_env is None:
            self._evaluation_env = make_env(
                self.config, num_tasks_in(share), evaluation.episodes_per_task
            )
        env = self._evaluation_env
        tasks = evaluation_tasks(env, split, evaluation.num_tasks, evaluation.seed)[share]
        streams = RandomStreams(evaluation.seed, split, 0, first_task=share.start)
        curve = evaluate_on(
            self.config, self.algorithm, self.policy, state, env, tasks, streams
        ).curve
        return joined_curve(self.ranks.gather(curve))

    def test_origin(self, tasks: np.ndarray) -> TaskOrigin:
        """See ``Problem``."""
        return origin_of_test_tasks(self.env, tasks, self.config.run.seed)

    def close(self) -> None:
        """Ends the environments and their processes."""
        self.env.close()
        if self._evaluation_env is not None:
            self._evaluation_env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _context(self) -> TrainingContext:
        run = self.config.run
        return TrainingContext(
            num_meta_iterations=run.meta_iterations,
            steps_per_chunk=steps_per_chunk(self.device),
            task_mean=lambda total, _: self.ranks.total(total) / run.meta_batch_size,
            compiler=update_compiler(self.device, compiled=run.compile, note=self.notes),
        )

    def _play(self, state: TrainerState, clock: StageClock) -> TaskPlay:
        config, share = self.config, self.training_share
        assert config.policy.normalise_observations == (state.observation_moments is not None)
        streams = RandomStreams(config.run.seed, Split.TRAIN, state.meta_iteration, share.start)
        tasks = self.env.sample_tasks(config.run.meta_batch_size, streams.task_generator())[share]
        return TaskPlay(
            rollouts_of(config, self.policy, config.rollout.episodes_per_task),
            self.env,
            tasks,
            streams,
            algorithm=self.algorithm,
            name=config.algorithm.name,
            clock=clock,
            normaliser=observation_normaliser(state.observation_moments, self.device),
        )

    def _check_finite(
        self,
        before: AlgorithmState,
        after: AlgorithmState,
        metrics: Mapping[str, Any],
        play: TaskPlay,
    ) -> None:
        """Raises NumericalError unless new parameters and the telling metrics are finite."""
        metric = not_finite(metrics, getattr(self.algorithm, "finite_metrics", None))
        if metric is None and all_finite([*after.params.values(), *after.memory.values()]):
            return
        seen = play.seen
        refuse_first(quantities_of(self.algorithm, "update", before, seen), play.name_of)
        refuse_params(after.params, "the meta-parameter")
        refuse_params(after.memory, "the algorithm's memory of")
        raise NumericalError(f"{metric} is not finite, although what it is of each task here is")


def policy_for(config: Config, env: PolicySizes, device: torch.device) -> nn.Module:
    """The policy that fits the environment, with its initial parameters."""
    return make_policy(
        env.observation_size,
        env.action_size,
        env.num_choices,
        hidden_sizes=config.policy.hidden_sizes,
        activation=config.policy.activation,
        output_scale=config.policy.output_scale,
        init_std=config.policy.init_std,
        min_std=config.policy.min_std,
        generator=parameter_generator(config.run.seed),
    ).to(device)


def make_algorithm(config: Config, policy: nn.Module, context: TrainingContext) -> Any:
    """What learns, an ``EpisodeAlgorithm``."""
    return algorithm_class(config.algorithm.name)(config, policy, context)


def evaluation_context(config: Config, device: torch.device) -> TrainingContext:
    """What is lent to an algorithm that only adapts."""
    return TrainingContext(config.run.meta_iterations, steps_per_chunk(device))


def initial_state(config: Config, algorithm: Any, env: PolicySizes) -> TrainerState:
    """The state before any meta-update, with statistics of nothing if they are kept."""
    generator = algorithm_generator(config.run.seed)
    learned = checked_initial_state(config.algorithm.name, algorithm.initial_state(generator))
    moments = None
    if config.policy.normalise_observations:
        moments = no_moments(env.observation_size)
    return TrainerState(learned, observation_moments=moments)


def evaluate_on(
    config: Config,
    algorithm: Any,
    policy: nn.Module,
    state: TrainerState,
    env: ShardedEnv,
    tasks: np.ndarray,
    streams: RandomStreams,
) -> Evaluation:
    """Adapts to tasks as the settings of the evaluation say.

    Args:
        config: the settings.
        algorithm: what adapts.
        policy: its policy.
        state: where adaptation starts; its statistics of observations stay as they are.
        env: ``len(tasks) * evaluation.episodes_per_task`` simulations.
        tasks: [M, P].
        streams: random numbers.

    Raises:
        EnvironmentFault, NumericalError, AlgorithmError: as ``TaskPlay``.
    """
    device = next(iter(state.params.values())).device
    play = TaskPlay(
        rollouts_of(config, policy, config.evaluation.episodes_per_task),
        env,
        tasks,
        streams,
        algorithm=algorithm,
        name=config.algorithm.name,
        clock=StageClock(device),
        normaliser=observation_normaliser(state.observation_moments, device),
    )
    num_steps = config.evaluation.num_adaptation_steps
    return evaluate(algorithm, config.algorithm.name, state.learned, play, num_steps)


def rollouts_of(config: Config, policy: nn.Module, episodes_per_task: int) -> Rollouts:
    """How tasks are played, in training or in evaluation."""
    rollout = config.rollout
    return Rollouts(policy, episodes_per_task, rollout.horizon, rollout.max_diverged_share)


def _summary_metrics(summary: EpisodeSummary) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "train_return": summary.curve.mean.tolist(),
        "train_return_interval": summary.curve.interval.tolist(),
        "num_diverged_episodes": summary.num_diverged,
    }
    if summary.success_rate is not None:
        metrics["train_success_rate"] = summary.success_rate.tolist()
    return metrics


def _policy_metrics(learned: AlgorithmState) -> dict[str, float]:
    log_std = learned.params.get("log_std")
    return {} if log_std is None else {"policy_std": float(log_std.exp().mean())}


def _grown(moments: Moments | None, summary: EpisodeSummary) -> Moments | None:
    """The statistics of observations with the steps of one meta-iteration, of all ranks."""
    if moments is None or summary.observation_moments is None:
        return moments
    steps = Moments(*(entries.flatten(0, 1) for entries in summary.observation_moments))
    new = joined_moments(steps)
    return joined_moments(Moments(*(torch.stack(pair) for pair in zip(moments, new, strict=True))))
