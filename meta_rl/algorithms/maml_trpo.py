"""MAML with a trust-region meta-update (Finn et al. 2017, algorithm 3 and section 5.3).

For tasks i with episodes ``D_i`` collected before and ``D'_i`` after adaptation,

    theta'_i = theta - alpha grad L(theta; D_i)                    (the inner loop, eq. 1)
    maximise   mean_i J(theta'_i; D'_i)                            (the meta-objective, eq. 4)
    subject to mean_i KL(pi_old'_i || pi_theta'_i) <= max_kl       (TRPO's constraint)

over theta, where J is the likelihood-ratio surrogate and ``theta'_i`` is always recomputed from
theta, so that the gradient is the exact second-order meta-gradient.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from meta_rl.algorithms.inner_loop import AdaptationSettings, InnerLoop, policy_gradient_adaptation
from meta_rl.algorithms.meta_data import MetaData, every_nth_step, split_tasks
from meta_rl.algorithms.meta_objective import (
    meta_curvature_product,
    meta_evaluation,
    meta_gradient,
    task_gradients,
)
from meta_rl.algorithms.protocol import (
    Metrics,
    Play,
    Quantities,
    TaskMean,
    TrainingContext,
)
from meta_rl.config import (
    Config,
    Contradiction,
    Count,
    Effect,
    PositiveInt,
    Section,
    Settings,
    not_greater,
    refused,
    setting,
)
from meta_rl.ops.params import initial_params, ravel, unravel
from meta_rl.ops.tracing import Compiler
from meta_rl.ops.trust_region import (
    TrustRegionSettings,
    TrustRegionStats,
    annealed_max_kl,
    trust_region_step,
)
from meta_rl.types import AlgorithmState, Params, RolloutBatch


class TrustRegionUpdate(Section):
    """The outer loop: one trust-region step on the initialisation per meta-iteration."""

    objective: Literal["likelihood_ratio", "clipped"] = setting(
        "likelihood_ratio",
        meaning="What the meta-update climbs; the trust region takes likelihood_ratio.",
        effect=Effect.TRAINING,
    )
    optimiser: Literal["trust_region", "adam"] = setting(
        "trust_region", meaning="Of the meta-update.", effect=Effect.TRAINING
    )
    max_kl: float = setting(
        0.01,
        meaning="Radius of the trust region: mean KL divergence, in nats.",
        effect=Effect.TRAINING,
        gt=0,
    )
    final_max_kl: Annotated[float, Field(gt=0, strict=True)] | None = setting(
        None,
        meaning="What max_kl falls to by the last meta-iteration; null keeps it constant.",
        effect=Effect.TRAINING,
    )
    num_cg_iterations: Count = setting(
        10, meaning="Iterations of conjugate gradient.", effect=Effect.TRAINING, ge=1
    )
    damping: float = setting(
        1e-5,
        meaning="Multiple of the identity added to the curvature.",
        effect=Effect.TRAINING,
        ge=0,
    )
    backtrack_ratio: float = setting(
        0.8,
        meaning="Factor by which the line search shortens the step.",
        effect=Effect.TRAINING,
        gt=0,
        lt=1,
    )
    max_backtracks: Count = setting(
        15,
        meaning="Candidates that the line search tries before it gives up.",
        effect=Effect.TRAINING,
        ge=1,
    )
    curvature_stride: Count = setting(
        1,
        meaning="Every n-th time step enters the curvature; 1 uses all.",
        effect=Effect.TRAINING,
        ge=1,
    )
    steps_per_chunk: PositiveInt | None = setting(
        None,
        meaning="Environment steps differentiated at once; null lets the device decide.",
        effect=Effect.SPEED,
    )


def _dice_needs_every_step(settings: Settings) -> Iterator[Contradiction]:
    if settings("adaptation.surrogate") == "dice" and settings("meta_update.curvature_stride") > 1:
        yield (
            "meta_update.curvature_stride",
            "meta_update.curvature_stride should be 1 with adaptation.surrogate=dice, "
            "which multiplies the ratios of all time steps",
        )


class MamlTrpo:
    """Learns an initialisation from which a few policy-gradient steps adapt to a task."""

    learns_from: ClassVar = "episodes"
    sections: ClassVar[Mapping[str, type[Section]]] = {
        "adaptation": AdaptationSettings,
        "meta_update": TrustRegionUpdate,
    }
    rules: ClassVar = (
        refused(
            "meta_update.objective", "clipped", "has no trust region: use algorithm.name=promp"
        ),
        refused("meta_update.optimiser", "adam", "has no trust region: use algorithm.name=promp"),
        not_greater("meta_update.curvature_stride", "rollout.horizon"),
        not_greater("meta_update.final_max_kl", "meta_update.max_kl"),
        _dice_needs_every_step,
    )
    # A refused step may leave other numbers that are not finite.
    finite_metrics: ClassVar = ("surrogate_before", "gradient_norm")

    def __init__(self, config: Config, policy: nn.Module, context: TrainingContext) -> None:
        """Takes the policy with its initial parameters."""
        adaptation: AdaptationSettings = config.adaptation
        self.settings: TrustRegionUpdate = config.meta_update
        self.policy, self.context = policy, context
        self.num_adaptation_steps = adaptation.num_adaptation_steps
        self.steps_per_chunk = self.settings.steps_per_chunk or context.steps_per_chunk
        self.collect_and_adapt = policy_gradient_adaptation(
            config, adaptation, policy, self.steps_per_chunk
        )

    @property
    def inner_loop(self) -> InnerLoop:
        """How one task's policy adapts."""
        return self.collect_and_adapt.inner_loop

    def initial_state(self, generator: torch.Generator) -> AlgorithmState:
        """The policy's initial parameters."""
        del generator
        return AlgorithmState(initial_params(self.policy), memory={})

    def adapt(self, state: AlgorithmState, play: Play, num_steps: int) -> list[RolloutBatch]:
        """Collects D_i, adapts to it, collects D'_i, and so on (algorithm 3, lines 4 to 8)."""
        episodes, _ = self.collect_and_adapt(state.params, play, num_steps)
        return episodes

    def update(
        self, state: AlgorithmState, play: Play, meta_iteration: int
    ) -> tuple[AlgorithmState, Metrics]:
        """As ``adapt``, then improves theta (algorithm 3, line 10)."""
        data = self.collect_and_adapt.meta_data(state.params, play, self.num_adaptation_steps)
        params, stats = maml_trpo_update(
            self.inner_loop,
            state.params,
            data,
            trust_region=self.trust_region(meta_iteration),
            curvature_stride=self.settings.curvature_stride,
            steps_per_chunk=self.steps_per_chunk,
            task_mean=self.context.task_mean,
            compiler=self.context.compiler,
        )
        return state._replace(params=params), _metrics(stats)

    def step_sizes(self, num_steps: int) -> list[float]:
        """Of each adaptation step."""
        return self.inner_loop.step_sizes(num_steps)

    def trust_region(self, meta_iteration: int) -> TrustRegionSettings:
        """Settings of the outer step after so many completed meta-iterations.

        A function of that number alone, so that a resumed run goes on as if never interrupted.
        """
        update, max_kl = self.settings, self.settings.max_kl
        if update.final_max_kl is not None:
            progress = meta_iteration / max(1, self.context.num_meta_iterations - 1)
            max_kl = annealed_max_kl(max_kl, update.final_max_kl, progress)
        return TrustRegionSettings(
            max_kl=max_kl,
            num_cg_iterations=update.num_cg_iterations,
            damping=update.damping,
            backtrack_ratio=update.backtrack_ratio,
            max_backtracks=update.max_backtracks,
        )

    def adaptation_quantities(self, params: Params, episodes: RolloutBatch) -> Quantities:
        """What adapting computes, to find what went wrong first."""
        return self.collect_and_adapt.quantities(params, episodes)

    def update_quantities(
        self, state: AlgorithmState, episodes: Sequence[RolloutBatch]
    ) -> Quantities:
        """What the update computes of each task, to find what went wrong first."""

        def of_tasks(data: MetaData) -> tuple[Tensor, Tensor]:
            gradient, (surrogate, _) = task_gradients(self.inner_loop, state.params, data)
            return gradient, surrogate

        return self.collect_and_adapt.update_quantities(state.params, episodes, of_tasks)

    @staticmethod
    def progress(record: Mapping[str, Any]) -> dict[str, str]:
        """What the screen shows of a meta-iteration, by its header."""
        outcome = "accepted" if record["accepted"] else f"refused: {record['line_search']}"
        if record["accepted"] and record["num_backtracks"]:
            outcome += f", backtracks: {record['num_backtracks']}"
        return {"KL": f"{record['kl']:.4f}", "step": outcome}


def _metrics(stats: TrustRegionStats) -> Metrics:
    metrics = asdict(stats)
    return {"line_search": metrics.pop("reason"), **metrics}


def maml_trpo_update(
    inner_loop: InnerLoop,
    meta_params: Params,
    data: MetaData,
    *,
    trust_region: TrustRegionSettings,
    curvature_stride: int,
    steps_per_chunk: int,
    task_mean: TaskMean,
    compiler: Compiler | None = None,
) -> tuple[Params, TrustRegionStats]:
    """One meta-update of the initialisation.

    Args:
        inner_loop: how the policies adapt.
        meta_params: theta.
        data: episodes before and after adaptation, from the policies that theta gives.
        trust_region: settings of the outer step.
        curvature_stride: every n-th time step is used for the curvature, before and after
            adaptation (Schulman et al. 2015, appendix C, subsample it too); gradient, surrogate
            and KL use all of them.
        steps_per_chunk: as many tasks are vmapped at once as have no more steps than this. It
            changes no result beyond the order of summation: on a CPU, a chunk's activations
            should stay in the cache.
        task_mean: how means over tasks are taken, perhaps together with other processes.
        compiler: what makes gradient, curvature product and line search faster.

    Returns:
        The new theta (the same tensors where the line search fails) and what happened.
    """
    chunks = split_tasks(data, steps_per_chunk)
    thinned_chunks = split_tasks(every_nth_step(data, curvature_stride), steps_per_chunk)

    theta = ravel(meta_params)
    gradient, surrogate, old = meta_gradient(inner_loop, meta_params, chunks, task_mean, compiler)
    new_theta, stats = trust_region_step(
        theta,
        gradient,
        meta_curvature_product(inner_loop, meta_params, thinned_chunks, task_mean, compiler),
        meta_evaluation(inner_loop, meta_params, chunks, old, task_mean, compiler),
        surrogate=surrogate,
        settings=trust_region,
    )
    if not stats.accepted:
        return meta_params, stats
    # Memory of their own, aligned as that of loaded ones is: kernels are chosen by alignment too.
    return {name: value.clone() for name, value in unravel(new_theta, meta_params).items()}, stats
