"""Proximal meta-policy search (Rothfuss et al. 2018, arXiv 1810.06784, algorithm 1).

For tasks i with episodes ``D_i`` collected before and ``D'_i`` after adaptation, several steps of
Adam climb

    mean_i [ J_clip(theta'_i; D'_i) - mean_k eta_k KL(pi_old_k || pi_theta_k; D_i,k) ]

where ``J_clip = mean min(r A, clip(r, 1 - eps, 1 + eps) A)`` with r the ratio to the policy that
drew the actions of ``D'_i``, and the KL divergence of inner step k is that from the policy which
collected ``D_i,k``. ``theta'_i`` is recomputed from theta in every step. Data, advantages and old
policies stay as they were sampled. With a log_prob inner surrogate and eta = 0 this is MAML-PPO.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from meta_rl.algorithms.inner_loop import AdaptationSettings, InnerLoop, policy_gradient_adaptation
from meta_rl.algorithms.meta_data import MetaData, mean_of_chunks, split_tasks
from meta_rl.algorithms.protocol import Metrics, Play, Quantities, TrainingContext
from meta_rl.config import (
    Config,
    Contradiction,
    Count,
    Effect,
    PositiveInt,
    Section,
    Settings,
    refused,
    setting,
)
from meta_rl.distributions.protocol import Distribution
from meta_rl.models.policy import action_distribution
from meta_rl.ops.adam import AdamMoments, adam_decrement, initial_moments
from meta_rl.ops.masked import weighted_mean
from meta_rl.ops.objectives import clipped_surrogate, likelihood_ratio_surrogate
from meta_rl.ops.params import initial_params, ravel, unravel
from meta_rl.ops.tracing import traced_when_frequent
from meta_rl.types import AlgorithmState, Params, RolloutBatch

# Adam's usual constants.
_MOMENTUM_DECAY, _SECOND_MOMENT_DECAY, _EPSILON = 0.9, 0.999, 1e-8
# Outside of this factor around the target, the coefficient of the KL penalty is halved or doubled
# (appendix, as in Schulman et al. 2017).
_KL_TOLERANCE = 1.5


class ProximalAdaptation(AdaptationSettings):
    """The inner loop: policy-gradient steps on one task."""

    surrogate: Literal["log_prob", "likelihood_ratio", "dice"] = setting(
        "likelihood_ratio",
        meaning="Objective whose gradient is the inner step; log_prob is that of MAML-PPO.",
    )


class ProximalUpdate(Section):
    """The outer loop: steps of Adam on the clipped objective."""

    objective: Literal["likelihood_ratio", "clipped"] = setting(
        "clipped", meaning="What the meta-update climbs.", effect=Effect.TRAINING
    )
    optimiser: Literal["trust_region", "adam"] = setting(
        "adam", meaning="Of the meta-update.", effect=Effect.TRAINING
    )
    step_size: float = setting(1e-3, meaning="Step size of Adam.", effect=Effect.TRAINING, gt=0)
    num_epochs: Count = setting(
        5, meaning="Steps of Adam on the same episodes.", effect=Effect.TRAINING, ge=1
    )
    clip_range: float = setting(
        0.3,
        meaning="How far the probability ratio may move from 1 and still gain (epsilon).",
        effect=Effect.TRAINING,
        gt=0,
    )
    inner_kl_coefficient: float = setting(
        5e-4,
        meaning="Weight of the KL divergence of the policies before each inner step (eta).",
        effect=Effect.TRAINING,
        ge=0,
    )
    inner_kl_target: Annotated[float, Field(gt=0, strict=True)] | None = setting(
        None,
        meaning="KL divergence that the weight is doubled or halved for; null keeps the weight.",
        effect=Effect.TRAINING,
    )
    steps_per_chunk: PositiveInt | None = setting(
        None,
        meaning="Environment steps differentiated at once; null lets the device decide.",
        effect=Effect.SPEED,
    )


def _target_needs_a_coefficient(settings: Settings) -> Iterator[Contradiction]:
    target = settings("meta_update.inner_kl_target")
    if target is not None and settings("meta_update.inner_kl_coefficient") == 0:
        yield (
            "meta_update.inner_kl_target",
            "meta_update.inner_kl_target needs a meta_update.inner_kl_coefficient greater than 0, "
            "which it doubles and halves",
        )


class Objective(NamedTuple):
    """What ProMP climbs: hashable, because traces are kept for it.

    Attributes:
        inner_loop: how the policies adapt.
        clip_range: epsilon; None leaves the ratio unclipped.
    """

    inner_loop: InnerLoop
    clip_range: float | None


class ProMP:
    """Learns an initialisation from which a few policy-gradient steps adapt to a task."""

    learns_from: ClassVar = "episodes"
    sections: ClassVar[Mapping[str, type[Section]]] = {
        "adaptation": ProximalAdaptation,
        "meta_update": ProximalUpdate,
    }
    rules: ClassVar = (
        refused("meta_update.optimiser", "trust_region", "goes with algorithm.name=maml_trpo"),
        _target_needs_a_coefficient,
    )

    def __init__(self, config: Config, policy: nn.Module, context: TrainingContext) -> None:
        """Takes the policy with its initial parameters."""
        adaptation: ProximalAdaptation = config.adaptation
        self.settings: ProximalUpdate = config.meta_update
        self.policy, self.context = policy, context
        self.num_adaptation_steps = adaptation.num_adaptation_steps
        self.steps_per_chunk = self.settings.steps_per_chunk or context.steps_per_chunk
        self.collect_and_adapt = policy_gradient_adaptation(
            config, adaptation, policy, self.steps_per_chunk
        )
        clipped = self.settings.objective == "clipped"
        self.objective = Objective(
            self.collect_and_adapt.inner_loop, self.settings.clip_range if clipped else None
        )

    def initial_state(self, generator: torch.Generator) -> AlgorithmState:
        """The policy's initial parameters, no averages yet, and eta of each inner step."""
        del generator
        params = initial_params(self.policy)
        theta = ravel(params)
        coefficient = theta.new_full(
            (self.num_adaptation_steps,), self.settings.inner_kl_coefficient
        )
        memory = initial_moments(theta)._asdict() | {"inner_kl_coefficient": coefficient}
        return AlgorithmState(params, memory)

    def adapt(self, state: AlgorithmState, play: Play, num_steps: int) -> list[RolloutBatch]:
        """Collects D_i, adapts to it, collects D'_i, and so on."""
        episodes, _ = self.collect_and_adapt(state.params, play, num_steps)
        return episodes

    def update(
        self, state: AlgorithmState, play: Play, meta_iteration: int
    ) -> tuple[AlgorithmState, Metrics]:
        """As ``adapt``, then several steps of Adam on theta."""
        del meta_iteration
        data = self.collect_and_adapt.meta_data(state.params, play, self.num_adaptation_steps)
        return self.climb(state, split_tasks(data, self.steps_per_chunk))

    def step_sizes(self, num_steps: int) -> list[float]:
        """Of each adaptation step."""
        return self.objective.inner_loop.step_sizes(num_steps)

    def climb(
        self, state: AlgorithmState, chunks: Sequence[MetaData]
    ) -> tuple[AlgorithmState, Metrics]:
        """The meta-update from episodes that the policies of ``state`` have collected.

        Args:
            state: theta and Adam's memory.
            chunks: the episodes, in parts of the tasks.
        """
        like, coefficient = state.params, state.memory["inner_kl_coefficient"]
        old = self._of_chunks(pre_distributions, like, chunks)
        theta = ravel(like)
        moments = AdamMoments(*(state.memory[name] for name in AdamMoments._fields))
        values, norms = [], []
        for _ in range(self.settings.num_epochs):
            parts = self._of_chunks(task_gradients, unravel(theta, like), chunks, old, coefficient)
            gradient, value = (self._mean(part) for part in zip(*parts, strict=True))
            decrement, moments = adam_decrement(
                -gradient,
                moments,
                step_size=self.settings.step_size,
                momentum_decay=_MOMENTUM_DECAY,
                second_moment_decay=_SECOND_MOMENT_DECAY,
                epsilon=_EPSILON,
            )
            theta = theta - decrement
            values.append(value)
            norms.append(torch.linalg.vector_norm(gradient))
        params = {name: value.clone() for name, value in unravel(theta, like).items()}
        after, share, *inner_kl = self._mean(self._of_chunks(task_points, params, chunks, old))
        if self.settings.inner_kl_target is not None and inner_kl:
            coefficient = adapted_coefficient(
                coefficient, torch.stack(inner_kl), self.settings.inner_kl_target
            )
        # All at once: the host waits for the device once per meta-update.
        numbers = torch.stack([values[0], after, share, norms[0], norms[-1], *inner_kl]).tolist()
        names = ("objective_before", "surrogate_after", "clipped_share", "gradient_norm")
        metrics = dict(zip((*names, "last_gradient_norm"), numbers[:5], strict=True))
        memory = moments._asdict() | {"inner_kl_coefficient": coefficient}
        return AlgorithmState(params, memory), {**metrics, "inner_kl": numbers[5:]}

    def _of_chunks(
        self,
        function: Callable[..., Any],
        params: Params,
        chunks: Sequence[MetaData],
        old: Sequence[Any] | None = None,
        *more: Tensor,
    ) -> list[Any]:
        """``function(objective, params, chunk, what is old of it, *more)`` of each chunk."""
        fast = traced_when_frequent(function, self.objective, compiler=self.context.compiler)
        with torch.no_grad():
            if old is None:
                return [fast(params, chunk) for chunk in chunks]
            pairs = zip(chunks, old, strict=True)
            return [fast(params, chunk, old_of_chunk, *more) for chunk, old_of_chunk in pairs]

    def _mean(self, of_chunks: Sequence[Tensor]) -> Tensor:
        return mean_of_chunks(of_chunks, self.context.task_mean)

    def adaptation_quantities(self, params: Params, episodes: RolloutBatch) -> Quantities:
        """What adapting computes, to find what went wrong first."""
        return self.collect_and_adapt.quantities(params, episodes)

    def update_quantities(
        self, state: AlgorithmState, episodes: Sequence[RolloutBatch]
    ) -> Quantities:
        """What the update computes of each task, to find what went wrong first."""

        def of_tasks(data: MetaData) -> tuple[Tensor, Tensor]:
            old = pre_distributions(self.objective, state.params, data)
            coefficient = state.memory["inner_kl_coefficient"]
            return task_gradients(self.objective, state.params, data, old, coefficient)

        return self.collect_and_adapt.update_quantities(state.params, episodes, of_tasks)

    @staticmethod
    def progress(record: Mapping[str, Any]) -> dict[str, str]:
        """What the screen shows of a meta-iteration, by its header."""
        return {
            "inner KL": " | ".join(f"{value:.4f}" for value in record["inner_kl"]),
            "clipped": f"{record['clipped_share']:.1%}",
        }


def pre_distributions(
    objective: Objective, meta_params: Params, chunk: MetaData
) -> tuple[Distribution, ...]:
    """What the policies that collected ``pre`` did, for each inner step, [M, E, T, ...]."""
    inner_loop = objective.inner_loop

    def of_task(task: MetaData) -> tuple[Distribution, ...]:
        steps = inner_loop.adapted_params(meta_params, task)
        return _distributions_before_steps(inner_loop, steps, task)

    return vmap(of_task)(chunk)


def task_gradients(
    objective: Objective,
    meta_params: Params,
    chunk: MetaData,
    old: tuple[Distribution, ...],
    coefficient: Tensor,
) -> tuple[Tensor, Tensor]:
    """Of each task of a chunk: gradient [M, N] and value [M] of the objective.

    Args:
        objective: what is climbed.
        meta_params: theta.
        chunk: episodes of M tasks.
        old: of ``pre_distributions``, at the theta that collected them.
        coefficient: eta of each inner step, [K].
    """

    def value(theta: Tensor, task: MetaData, old: tuple[Distribution, ...]) -> Tensor:
        surrogate, _, inner_kl = _parts(objective, unravel(theta, meta_params), task, old)
        if not len(inner_kl):
            return surrogate
        return surrogate - (coefficient * inner_kl).mean()

    per_task = vmap(grad_and_value(value), in_dims=(None, 0, 0))
    return per_task(ravel(meta_params), chunk, old)


def task_points(
    objective: Objective, meta_params: Params, chunk: MetaData, old: tuple[Distribution, ...]
) -> Tensor:
    """Of each task: J, the share of steps whose ratio is clipped, KL of each step: [M, 2 + K]."""

    def point(task: MetaData, old: tuple[Distribution, ...]) -> Tensor:
        surrogate, clipped_share, inner_kl = _parts(objective, meta_params, task, old)
        return torch.cat([torch.stack([surrogate, clipped_share]), inner_kl])

    return vmap(point)(chunk, old)


def adapted_coefficient(coefficient: Tensor, inner_kl: Tensor, target: float) -> Tensor:
    """Eta of each inner step, halved far below the target and doubled far above it.

    Args:
        coefficient: [K].
        inner_kl: after the last epoch, [K].
        target: of the KL divergence.
    """
    doubled = torch.where(inner_kl > target * _KL_TOLERANCE, 2.0 * coefficient, coefficient)
    return torch.where(inner_kl < target / _KL_TOLERANCE, coefficient / 2.0, doubled)


def _parts(
    objective: Objective, meta_params: Params, task: MetaData, old: tuple[Distribution, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """J [], the share of clipped steps [] and the KL divergence of each inner step [K]."""
    inner_loop, post = objective.inner_loop, task.post
    steps = inner_loop.adapted_params(meta_params, task)
    new_log_prob = inner_loop.counted_distribution(steps, task).log_prob(post.action)
    arguments = (new_log_prob, post.old_log_prob, post.advantage, post.weight)
    if objective.clip_range is None:
        surrogate = likelihood_ratio_surrogate(*arguments)
        share = surrogate.new_zeros(())
    else:
        surrogate = clipped_surrogate(*arguments, clip_range=objective.clip_range)
        distance = (torch.exp(new_log_prob - post.old_log_prob) - 1.0).abs()
        share = weighted_mean((distance > objective.clip_range).to(distance.dtype), post.weight)
    now = _distributions_before_steps(inner_loop, steps, task)
    divergences = [
        weighted_mean(before.kl_divergence(after), batch.weight)
        for before, after, batch in zip(old, now, task.pre, strict=True)
    ]
    inner_kl = torch.stack(divergences) if divergences else surrogate.new_zeros(0)
    return surrogate, share, inner_kl


def _distributions_before_steps(
    inner_loop: InnerLoop, steps: Sequence[Params], task: MetaData
) -> tuple[Distribution, ...]:
    """What the policy before each inner step would do at the observations of that step."""
    return tuple(
        action_distribution(inner_loop.policy, params, batch.observation)
        for params, batch in zip(steps[:-1], task.pre, strict=True)
    )
