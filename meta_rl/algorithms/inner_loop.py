"""The inner loop of reinforcement learning: policy-gradient steps on one task's own episodes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.utils._pytree import tree_map

from meta_rl.algorithms.adaptation import adapt, adaptation_steps
from meta_rl.algorithms.advantages import policy_gradient_batch
from meta_rl.algorithms.meta_data import MetaData, meta_data, task_chunks
from meta_rl.algorithms.protocol import Play, Quantities
from meta_rl.config import Config, Count, Effect, Section, setting
from meta_rl.distributions.protocol import Distribution
from meta_rl.models.policy import action_distribution
from meta_rl.ops.objectives import SURROGATES
from meta_rl.ops.params import repeat_per_task, split_parameters
from meta_rl.types import Params, PolicyGradientBatch, RolloutBatch


class AdaptationSettings(Section):
    """The inner loop: policy-gradient steps on one task."""

    inner_step_size: float = setting(
        0.1, meaning="Size of the first gradient step on a task.", gt=0
    )
    num_adaptation_steps: Count = setting(
        1,
        meaning="Gradient steps on each task during training; 0 trains one policy for all tasks.",
        effect=Effect.TRAINING,
        ge=0,
    )
    later_step_size_ratio: float = setting(
        0.5,
        meaning="Size of the steps after the first, as a multiple of the inner step size.",
        gt=0,
    )
    first_order: bool = setting(
        False,
        meaning="Leave second derivatives out of the meta-gradient (FOMAML).",
        effect=Effect.TRAINING,
    )
    multi_step: bool = setting(
        False,
        meaning="Let the returns after every adaptation step count, not only after the last.",
        effect=Effect.TRAINING,
    )
    surrogate: Literal["log_prob", "likelihood_ratio", "dice"] = setting(
        "log_prob", meaning="Objective whose gradient is the inner step."
    )


@dataclass(frozen=True)
class InnerLoop:
    """How one task's policy adapts.

    Attributes:
        policy: without memory, see ``models/policy.py``.
        surrogate: which surrogate adaptation climbs, a name in ``SURROGATES``.
        step_size: alpha, the size of the first step.
        later_step_size_ratio: size of every later step, as a multiple of alpha.
        first_order: leave the inner loop's second derivatives out of meta-gradients (FOMAML).
        multi_step: let the policies after every adaptation step count in the meta-objective,
            not only the last ones (Antoniou et al. 2019, arXiv 1810.09502, section 4).
    """

    policy: nn.Module
    surrogate: str
    step_size: float
    later_step_size_ratio: float
    first_order: bool
    multi_step: bool

    def step_sizes(self, num_adaptation_steps: int) -> list[float]:
        """alpha, then smaller steps (MAML paper, appendix A.2: alpha / 2)."""
        later = self.step_size * self.later_step_size_ratio
        return [self.step_size, *[later] * (num_adaptation_steps - 1)][:num_adaptation_steps]

    def loss(self, params: Params, batch: PolicyGradientBatch) -> Tensor:
        """L of eq. 1: the negative surrogate of one task's episodes, []."""
        distribution = action_distribution(self.policy, params, batch.observation)
        surrogate = SURROGATES[self.surrogate]
        new_log_prob = distribution.log_prob(batch.action)
        return -surrogate(new_log_prob, batch.old_log_prob, batch.advantage, batch.weight)

    def adapted_params(self, meta_params: Params, task: MetaData) -> list[Params]:
        """The parameters after adaptation steps 0, 1, ..., K on one task, as functions of theta."""
        steps, _ = adaptation_steps(
            meta_params,
            self.loss,
            task.pre,
            step_sizes=self.step_sizes(len(task.pre)),
            first_order=self.first_order,
        )
        return [meta_params, *steps]

    def adapted_distribution(self, meta_params: Params, task: MetaData) -> Distribution:
        """What the adapted policies would do at the post-adaptation observations of one task."""
        return self.counted_distribution(self.adapted_params(meta_params, task), task)

    def counted_distribution(self, steps: list[Params], task: MetaData) -> Distribution:
        """What those of the policies that count would do at the observations that count."""
        counted = (steps[1:] if self.multi_step else steps[-1:]) or steps
        outputs = [
            action_distribution(self.policy, params, observation)
            for params, observation in zip(
                counted, task.post.observation.chunk(len(counted)), strict=True
            )
        ]
        return tree_map(lambda *parts: torch.cat(parts), *outputs)


@dataclass(frozen=True)
class PolicyGradientAdaptation:
    """Collect, adapt, collect: the way from a meta-policy to episodes of adapted policies.

    Attributes:
        inner_loop: the loss that adaptation descends.
        discount_factor: gamma.
        gae_lambda: lambda.
        standardise_advantages: whether they get mean 0 and standard deviation 1 in each task.
        steps_per_chunk: see ``TrainingContext``.
    """

    inner_loop: InnerLoop
    discount_factor: float
    gae_lambda: float
    standardise_advantages: bool
    steps_per_chunk: int

    def __call__(
        self, meta_params: Params, play: Play, num_steps: int
    ) -> tuple[list[RolloutBatch], list[PolicyGradientBatch]]:
        """Plays before adapting and after each step, with new episodes every time.

        Returns:
            The episodes after 0, 1, ..., K steps, and the batch of each of them that was needed
            (all but the last); ``batch`` gives the last one.
        """
        params = repeat_per_task(meta_params, play.num_tasks)
        episodes = [play(params)]
        batches: list[PolicyGradientBatch] = []
        for step_size in self.inner_loop.step_sizes(num_steps):
            batches.append(self.batch(episodes[-1]))
            params = self.step(params, batches[-1], step_size)
            episodes.append(play(params))
        return episodes, batches

    def meta_data(self, meta_params: Params, play: Play, num_steps: int) -> MetaData:
        """The episodes that a meta-update learns from, collected as by a call."""
        episodes, batches = self(meta_params, play, num_steps)
        return meta_data(
            [*batches, self.batch(episodes[-1])], multi_step=self.inner_loop.multi_step
        )

    def batch(self, episodes: RolloutBatch) -> PolicyGradientBatch:
        """Advantages of the episodes of one stage."""
        return policy_gradient_batch(
            episodes,
            discount_factor=self.discount_factor,
            gae_lambda=self.gae_lambda,
            standardise_advantages=self.standardise_advantages,
        )

    def step(self, params: Params, batch: PolicyGradientBatch, step_size: float) -> Params:
        """One gradient step of every task, [M, ...] -> [M, ...]."""
        one_step = vmap(
            lambda params, batch: adapt(
                params, self.inner_loop.loss, [batch], step_sizes=[step_size], first_order=True
            )
        )
        num_tasks, *steps = batch.weight.shape
        parts = [
            one_step(*tree_map(lambda x, chunk=chunk: x[chunk], (params, batch)))
            for chunk in task_chunks(num_tasks, math.prod(steps), self.steps_per_chunk)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in params}

    def quantities(self, params: Params, episodes: RolloutBatch) -> Quantities:
        """What a step computes from the episodes of the policies with these parameters [M, ...]."""
        batch = self.batch(episodes)
        yield "an advantage", batch.advantage
        yield "a log-probability", batch.old_log_prob
        gradient, loss = vmap(grad_and_value(self.inner_loop.loss))(params, batch)
        yield "the loss of adaptation", loss
        for name, value in gradient.items():
            yield f"the gradient of adaptation ({name})", value

    def update_quantities(
        self,
        meta_params: Params,
        episodes: Sequence[RolloutBatch],
        task_gradients: Callable[[MetaData], tuple[Tensor, Tensor]],
    ) -> Quantities:
        """What a meta-update computes from the episodes of all stages.

        Args:
            meta_params: theta.
            episodes: after 0, 1, ..., K steps.
            task_gradients: gradient [M, num_parameters] and value [M] of the meta-objective.
        """
        batches = [self.batch(stage) for stage in episodes]
        yield "an advantage", batches[-1].advantage
        yield "a log-probability", batches[-1].old_log_prob
        gradient, value = task_gradients(meta_data(batches, multi_step=self.inner_loop.multi_step))
        yield "the meta-loss", value
        for name, part in split_parameters(gradient, meta_params).items():
            yield f"the meta-gradient ({name})", part


def policy_gradient_adaptation(
    config: Config, settings: AdaptationSettings, policy: nn.Module, steps_per_chunk: int
) -> PolicyGradientAdaptation:
    """The inner loop that settings describe."""
    return PolicyGradientAdaptation(
        InnerLoop(
            policy=policy,
            surrogate=settings.surrogate,
            step_size=settings.inner_step_size,
            later_step_size_ratio=settings.later_step_size_ratio,
            first_order=settings.first_order,
            multi_step=settings.multi_step,
        ),
        discount_factor=config.rollout.discount_factor,
        gae_lambda=config.rollout.gae_lambda,
        standardise_advantages=config.rollout.standardise_advantages,
        steps_per_chunk=steps_per_chunk,
    )
