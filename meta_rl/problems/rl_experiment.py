"""What a configuration stands for: environments, policy, inner loop and random numbers."""

from typing import Self

import numpy as np
import torch

from meta_rl.algorithms.maml_trpo import InnerLoop
from meta_rl.config import Config
from meta_rl.curves.adaptation_curve import AdaptationCurve, joined_curve
from meta_rl.models.policy import initial_params, make_policy
from meta_rl.ops.moments import Moments, no_moments
from meta_rl.ops.trust_region import TrustRegionSettings, annealed_max_kl
from meta_rl.problems.adaptation_rollouts import AdaptationSettings
from meta_rl.problems.evaluation import evaluate
from meta_rl.problems.evaluation_tasks import evaluation_tasks
from meta_rl.rollouts.environments import ShardedEnv, make_env
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.device import resolve_device
from meta_rl.runtime.ranks import ALONE, Ranks, num_tasks_in
from meta_rl.runtime.seeding import RandomStreams, Split, parameter_generator
from meta_rl.types import Params

# Measured on two CPU cores: activations of so many steps of a 100 x 100 policy stay in the cache.
CPU_STEPS_PER_CHUNK = 8_000


class RLExperiment:
    """Everything that training and evaluation share, made once from the settings.

    Attributes:
        config: the settings.
        ranks: the processes that share the tasks.
        device: where tensors live.
        env: the simulations of this rank's share of the meta-batch.
        inner_loop: the policy and how it adapts.
        training_share: which tasks of the meta-batch are this rank's.
        evaluation_share: which of the validation or test tasks.
    """

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
        rollout = config.rollout
        self.training_share = ranks.share(rollout.meta_batch_size)
        self.evaluation_share = ranks.share(config.evaluation.num_tasks)
        self.env = make_env(
            config, num_tasks_in(self.training_share), rollout.episodes_per_task, check=True
        )
        self._evaluation_env: ShardedEnv | None = None
        self.inner_loop = make_inner_loop(config, self.env, self.device)

    @property
    def initial_params(self) -> Params:
        """The parameters before any meta-update, a function of the seed alone."""
        return initial_params(self.inner_loop.policy)

    @property
    def initial_state(self) -> TrainerState:
        """The state before any meta-update."""
        return initial_state(self.config, self.inner_loop, self.env)

    @property
    def steps_per_chunk(self) -> int:
        """How many steps are differentiated at once: what fits the cache, or all on a GPU."""
        return steps_per_chunk(self.config, self.device)

    @property
    def training_settings(self) -> AdaptationSettings:
        """How training plays and adapts."""
        return adaptation_settings(
            self.config,
            self.inner_loop,
            self.device,
            num_adaptation_steps=self.config.adaptation.num_adaptation_steps,
            episodes_per_task=self.config.rollout.episodes_per_task,
        )

    def trust_region(self, meta_iteration: int) -> TrustRegionSettings:
        """Settings of the outer step after so many completed meta-iterations.

        A function of that number alone, so that a resumed run goes on as if never interrupted.
        """
        update, num_iterations = self.config.meta_update, self.config.run.meta_iterations
        max_kl = update.max_kl
        if update.final_max_kl is not None:
            progress = meta_iteration / max(1, num_iterations - 1)
            max_kl = annealed_max_kl(max_kl, update.final_max_kl, progress)
        return TrustRegionSettings(
            max_kl=max_kl,
            num_cg_iterations=update.num_cg_iterations,
            damping=update.damping,
            backtrack_ratio=update.backtrack_ratio,
            max_backtracks=update.max_backtracks,
        )

    def evaluate(
        self, params: Params, split: Split, observation_moments: Moments | None = None
    ) -> AdaptationCurve:
        """The adaptation curve on validation or test tasks, the same ones at every call.

        Args:
            params: the meta-parameters.
            split: which tasks.
            observation_moments: the statistics that belong to them, see ``evaluate``.

        Raises:
            EnvironmentFault, NumericalError: as ``collect``.
            RankError: another rank has stopped.
        """
        evaluation, share = self.config.evaluation, self.evaluation_share
        if self._evaluation_env is None:
            self._evaluation_env = make_env(
                self.config, num_tasks_in(share), evaluation.episodes_per_task
            )
        env = self._evaluation_env
        streams = RandomStreams(evaluation.seed, split, 0, first_task=share.start)
        tasks = evaluation_tasks(env, split, evaluation.num_tasks, evaluation.seed)[share]
        settings = evaluation_settings(self.config, self.inner_loop, self.device)
        curve = evaluate(settings, params, env, tasks, streams, observation_moments).curve
        return joined_curve(self.ranks.gather(curve))

    def close(self) -> None:
        """Ends the environments and their processes."""
        self.env.close()
        if self._evaluation_env is not None:
            self._evaluation_env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def make_inner_loop(config: Config, env: ShardedEnv, device: torch.device) -> InnerLoop:
    """The policy that fits the environment, with its initial parameters, and how it adapts."""
    policy = make_policy(
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
    return InnerLoop(
        policy=policy,
        surrogate=config.adaptation.surrogate,
        step_size=config.adaptation.inner_step_size,
        later_step_size_ratio=config.adaptation.later_step_size_ratio,
        first_order=config.adaptation.first_order,
        multi_step=config.adaptation.multi_step,
    )


def initial_state(config: Config, inner_loop: InnerLoop, env: ShardedEnv) -> TrainerState:
    """The state before any meta-update: parameters, and statistics of nothing if they are kept."""
    moments = None
    if config.policy.normalise_observations:
        moments = no_moments(env.observation_size)
    return TrainerState(initial_params(inner_loop.policy), observation_moments=moments)


def evaluation_settings(
    config: Config, inner_loop: InnerLoop, device: torch.device
) -> AdaptationSettings:
    """How evaluation plays and adapts, perhaps with more steps than training."""
    return adaptation_settings(
        config,
        inner_loop,
        device,
        num_adaptation_steps=config.evaluation.num_adaptation_steps,
        episodes_per_task=config.evaluation.episodes_per_task,
    )


def adaptation_settings(
    config: Config,
    inner_loop: InnerLoop,
    device: torch.device,
    *,
    num_adaptation_steps: int,
    episodes_per_task: int,
) -> AdaptationSettings:
    """What training and evaluation agree on, with the numbers in which they may differ."""
    return AdaptationSettings(
        inner_loop=inner_loop,
        num_adaptation_steps=num_adaptation_steps,
        episodes_per_task=episodes_per_task,
        horizon=config.rollout.horizon,
        discount_factor=config.rollout.discount_factor,
        gae_lambda=config.rollout.gae_lambda,
        standardise_advantages=config.rollout.standardise_advantages,
        max_diverged_share=config.rollout.max_diverged_share,
        steps_per_chunk=steps_per_chunk(config, device),
    )


def steps_per_chunk(config: Config, device: torch.device) -> int:
    """How many steps are differentiated at once: what fits the cache, or all on a GPU."""
    if config.meta_update.steps_per_chunk is not None:
        return config.meta_update.steps_per_chunk
    return CPU_STEPS_PER_CHUNK if device.type == "cpu" else np.iinfo(np.int64).max
