"""What a configuration stands for: environments, policy, inner loop and random numbers."""

from typing import Self

import numpy as np

from meta_rl.algorithms.maml_trpo import InnerLoop
from meta_rl.config import Config
from meta_rl.models.gaussian_policy import GaussianPolicy, initial_params
from meta_rl.ops.trust_region import TrustRegionSettings
from meta_rl.rollouts.environments import TaskVectorEnv, make_env
from meta_rl.training.adaptation_curve import AdaptationCurve, adaptation_curve
from meta_rl.training.adaptation_rollouts import AdaptationSettings, collect_and_adapt
from meta_rl.training.device import resolve_device
from meta_rl.training.seeding import RandomStreams, Split, parameter_generator
from meta_rl.training.stage_clock import StageClock
from meta_rl.types import Params

# Measured on two CPU cores: activations of so many steps of a 100 x 100 policy stay in the cache.
CPU_STEPS_PER_CHUNK = 8_000


class RLExperiment:
    """Everything that training and evaluation share, made once from the settings.

    Attributes:
        config: the settings.
        device: where tensors live.
        env: the simulations of the meta-batch.
        inner_loop: the policy and how it adapts.
        trust_region: settings of the outer step.
    """

    def __init__(self, config: Config) -> None:
        """Starts the environments.

        Raises:
            DeviceError: the device is not there.
            EnvironmentFault: the environment cannot be made.
        """
        self.config = config
        self.device = resolve_device(config.run.device)
        rollout, policy = config.rollout, config.policy
        self.env = make_env(config, rollout.meta_batch_size * rollout.episodes_per_task)
        self._evaluation_env: TaskVectorEnv | None = None
        network = GaussianPolicy(
            self.env.single_observation_space.shape[0],
            self.env.single_action_space.shape[0],
            hidden_sizes=policy.hidden_sizes,
            activation=policy.activation,
            output_scale=policy.output_scale,
            init_std=policy.init_std,
            min_std=policy.min_std,
            generator=parameter_generator(config.run.seed),
        ).to(self.device)
        self.inner_loop = InnerLoop(
            policy=network,
            surrogate=config.adaptation.surrogate,
            step_size=config.adaptation.inner_step_size,
            later_step_size_ratio=config.adaptation.later_step_size_ratio,
            first_order=config.adaptation.first_order,
            multi_step=config.adaptation.multi_step,
        )
        self.trust_region = TrustRegionSettings(
            max_kl=config.meta_update.max_kl,
            num_cg_iterations=config.meta_update.num_cg_iterations,
            damping=config.meta_update.damping,
            backtrack_ratio=config.meta_update.backtrack_ratio,
            max_backtracks=config.meta_update.max_backtracks,
        )

    @property
    def initial_params(self) -> Params:
        """The parameters before any meta-update, a function of the seed alone."""
        return initial_params(self.inner_loop.policy)

    @property
    def steps_per_chunk(self) -> int:
        """How many steps are differentiated at once: what fits the cache, or all on a GPU."""
        if self.config.meta_update.steps_per_chunk is not None:
            return self.config.meta_update.steps_per_chunk
        return CPU_STEPS_PER_CHUNK if self.device.type == "cpu" else np.iinfo(np.int64).max

    @property
    def training_settings(self) -> AdaptationSettings:
        """How training plays and adapts."""
        return self._settings(
            self.config.adaptation.num_adaptation_steps, self.config.rollout.episodes_per_task
        )

    @property
    def evaluation_settings(self) -> AdaptationSettings:
        """How evaluation does, perhaps with more steps or another number of episodes."""
        evaluation = self.config.evaluation
        return self._settings(evaluation.num_adaptation_steps, evaluation.episodes_per_task)

    def evaluate(self, params: Params, split: Split) -> AdaptationCurve:
        """The adaptation curve on held-out tasks, the same ones at every call."""
        evaluation = self.config.evaluation
        if self._evaluation_env is None:
            self._evaluation_env = make_env(
                self.config, evaluation.num_tasks * evaluation.episodes_per_task
            )
        streams = RandomStreams(evaluation.seed, split, meta_iteration=0)
        env = self._evaluation_env
        tasks = env.sample_tasks(evaluation.num_tasks, streams.task_generator())
        episodes, _ = collect_and_adapt(
            self.evaluation_settings, params, env, tasks, streams, StageClock(self.device)
        )
        return adaptation_curve(episodes)

    def close(self) -> None:
        """Ends the environments and their processes."""
        self.env.close()
        if self._evaluation_env is not None:
            self._evaluation_env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _settings(self, num_adaptation_steps: int, episodes_per_task: int) -> AdaptationSettings:
        rollout = self.config.rollout
        return AdaptationSettings(
            inner_loop=self.inner_loop,
            num_adaptation_steps=num_adaptation_steps,
            episodes_per_task=episodes_per_task,
            horizon=rollout.horizon,
            discount_factor=rollout.discount_factor,
            gae_lambda=rollout.gae_lambda,
            steps_per_chunk=self.steps_per_chunk,
        )
