"""Every setting of a run: its type, default, range and meaning, in one place.

The sections are frozen and strict: an unknown key, a number in quotes, ``4.5`` where an integer
belongs, ``true`` where a number belongs, and nan or infinity are all errors.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from meta_rl.reading.json_values import MAX_DEPTH, parse_json
from meta_rl.reading.numbers import MAX_INTEGER

NOT_GREATER = (
    ("policy.min_std", "policy.init_std"),
    ("meta_update.curvature_stride", "rollout.horizon"),
    ("meta_update.final_max_kl", "meta_update.max_kl"),
)
"""Pairs of settings of which the first, where it is set, must not be greater than the second."""

DICE_NEEDS_EVERY_STEP = (
    "meta_update.curvature_stride should be 1 with adaptation.surrogate=dice, "
    "which multiplies the ratios of all time steps"
)

MAX_COUNT = 2**31 - 1
"""Most of anything: the product of two counts still fits into 64 bits."""

Count = Annotated[int, Field(le=MAX_COUNT)]
PositiveInt = Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)]
Seed = Annotated[int, Field(le=MAX_INTEGER)]


class Section(BaseModel):
    """A group of settings that cannot be changed once they are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EnvConfig(Section):
    """The distribution of tasks."""

    id: str = Field(min_length=1, description="Registered id of the environment.")
    options: dict[str, JsonValue] = Field(
        default={}, description="Keyword arguments for the environment's constructor."
    )
    observe_task: bool = Field(
        default=False, description="Append the task to each observation, as an oracle sees it."
    )
    flatten_observations: bool = Field(
        default=False,
        description="Make a vector of a user's observation of another form: of dictionaries and "
        "tuples, of pictures (bytes become numbers in [0, 1]), of choices (a one among zeros).",
    )

    @field_validator("options")
    @classmethod
    def _options_can_be_kept(cls, options: dict[str, Any]) -> dict[str, Any]:
        try:
            # As the checkpoint will have them.
            parse_json(json.dumps(options, allow_nan=False))
        except ValueError:
            raise ValueError(
                "should hold finite numbers only, integers of at most 64 bits, and no more than "
                f"{MAX_DEPTH} levels"
            ) from None
        return options


class PolicyConfig(Section):
    """The Gaussian policy whose initialisation is meta-learned."""

    # Not strict, so that a list from YAML becomes a tuple; its entries stay strict.
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = Field(
        default=(100, 100), description="Units of each hidden layer; none gives a linear policy."
    )
    activation: Literal["tanh", "relu", "elu", "silu"] = Field(
        default="tanh", description="Nonlinearity after each hidden layer."
    )
    output_scale: float = Field(
        default=1.0, gt=0, description="Factor on the initial weights of the last layer."
    )
    init_std: float = Field(
        default=1.0,
        gt=0,
        description="Initial standard deviation of the actions; the action box is [-1, 1].",
    )
    min_std: float = Field(
        default=1e-6, gt=0, description="Floor of the standard deviation of the actions."
    )
    normalise_observations: bool = Field(
        default=False,
        description="Scale observations by the mean and standard deviation of all training steps "
        "so far, clipped to +-10; the statistics are part of the checkpoint.",
    )


class AdaptationConfig(Section):
    """The inner loop: policy-gradient steps on one task."""

    inner_step_size: float = Field(
        default=0.1, gt=0, description="Size of the first gradient step on a task."
    )
    num_adaptation_steps: Count = Field(
        default=1,
        ge=0,
        description="Gradient steps on each task during training; 0: TRPO on the task mixture.",
    )
    later_step_size_ratio: float = Field(
        default=0.5,
        gt=0,
        description="Size of the steps after the first, as a multiple of the inner step size.",
    )
    first_order: bool = Field(
        default=False, description="Leave second derivatives out of the meta-gradient (FOMAML)."
    )
    multi_step: bool = Field(
        default=False,
        description="Let the returns after every adaptation step count, not only after the last.",
    )
    surrogate: Literal["log_prob", "likelihood_ratio", "dice"] = Field(
        default="log_prob", description="Objective whose gradient is the inner step."
    )


class MetaUpdateConfig(Section):
    """The outer loop: one trust-region step on the initialisation per meta-iteration."""

    max_kl: float = Field(
        default=0.01, gt=0, description="Radius of the trust region: mean KL divergence, in nats."
    )
    final_max_kl: Annotated[float, Field(gt=0, strict=True)] | None = Field(
        default=None,
        description="What max_kl falls to by the last meta-iteration; null keeps it constant.",
    )
    num_cg_iterations: Count = Field(
        default=10, ge=1, description="Iterations of conjugate gradient."
    )
    damping: float = Field(
        default=1e-5, ge=0, description="Multiple of the identity added to the curvature."
    )
    backtrack_ratio: float = Field(
        default=0.8, gt=0, lt=1, description="Factor by which the line search shortens the step."
    )
    max_backtracks: Count = Field(
        default=15, ge=1, description="Candidates that the line search tries before it gives up."
    )
    curvature_stride: Count = Field(
        default=1, ge=1, description="Every n-th time step enters the curvature; 1 uses all."
    )
    steps_per_chunk: PositiveInt | None = Field(
        default=None,
        description="Environment steps differentiated at once; null lets the device decide.",
    )


class RolloutConfig(Section):
    """How many episodes are collected, and how they are discounted."""

    meta_batch_size: Count = Field(default=40, ge=1, description="Tasks per meta-iteration.")
    episodes_per_task: Count = Field(
        default=20, ge=2, description="Episodes per task and adaptation step."
    )
    horizon: Count = Field(default=200, ge=1, description="Longest episode, in environment steps.")
    discount_factor: float = Field(
        default=0.99, gt=0, le=1, description="Discount per environment step."
    )
    gae_lambda: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Bias (0) against variance (1) in generalised advantage estimation.",
    )
    standardise_advantages: bool = Field(
        default=True,
        description="Give each task's advantages mean 0 and standard deviation 1; without it, "
        "inner_step_size has to suit the scale of the returns.",
    )
    num_threads: Count = Field(
        default=0,
        ge=0,
        description="Physics threads, or workers of a user's environment; 0 uses every CPU.",
    )
    max_diverged_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the episodes of a step that may end because a simulation diverged.",
    )
    step_timeout: float = Field(
        default=60.0,
        gt=0,
        description="Longest call to a worker of a user's environment, in seconds.",
    )


class EvaluationConfig(Section):
    """Adaptation to validation and test tasks."""

    every: Count = Field(
        default=20, ge=0, description="Meta-iterations between evaluations; 0: only at the end."
    )
    seed: Seed = Field(
        default=0,
        ge=0,
        description="Seed of these tasks and their episodes, the same for every run.seed.",
    )
    num_tasks: Count = Field(
        default=40, ge=2, description="Validation tasks, and as many for tests."
    )
    episodes_per_task: Count = Field(
        default=20, ge=2, description="Episodes per task and adaptation step."
    )
    num_adaptation_steps: Count = Field(
        default=3, ge=0, description="Gradient steps on each of these tasks."
    )


class RunConfig(Section):
    """One run: where, how long, on what."""

    dir: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Folder of the run; null: runs/NAME-seedSEED-TIMESTAMP."
    )
    seed: Seed = Field(default=0, ge=0, description="Seed of every random draw in training.")
    meta_iterations: Count = Field(default=300, ge=1, description="Meta-updates of the whole run.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where tensors live; auto takes a GPU if there is one."
    )
    compile: bool = Field(
        default=False, description="Compile the meta-update where there is a compiler."
    )
    checkpoint_every: Count = Field(
        default=20, ge=1, description="Meta-iterations between checkpoints."
    )
    keep_checkpoints: Count = Field(
        default=3, ge=1, description="Latest checkpoints that are kept, besides the best one."
    )
    wandb: Literal["disabled", "offline", "online"] = Field(
        default="disabled", description="Whether metrics also go to Weights & Biases."
    )
    wandb_project: str = Field(
        default="meta-rl", min_length=1, description="Project at Weights & Biases."
    )


class Config(Section):
    """All settings of a run."""

    env: EnvConfig
    policy: PolicyConfig = PolicyConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    meta_update: MetaUpdateConfig = MetaUpdateConfig()
    rollout: RolloutConfig = RolloutConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        for smaller, larger in NOT_GREATER:
            low, high = self._get(smaller), self._get(larger)
            if low is not None and low > high:
                raise ValueError(f"{smaller} ({low}) should not be greater than {larger} ({high})")
        if self.adaptation.surrogate == "dice" and self.meta_update.curvature_stride > 1:
            raise ValueError(DICE_NEEDS_EVERY_STEP)
        return self

    def _get(self, name: str) -> Any:
        section, key = name.split(".")
        return getattr(getattr(self, section), key)


def setting_names(kind: type[BaseModel] = Config) -> list[str]:
    """Returns the dotted name of every setting of a kind of run, for example ``run.seed``."""
    return [
        f"{section}.{key}"
        for section, field in kind.model_fields.items()
        for key in section_fields(field.annotation)
    ]


def default_of(name: str, kind: type[BaseModel] = Config) -> Any:
    """Returns the default of the setting with this dotted name."""
    section, key = name.split(".")
    return section_fields(kind.model_fields[section].annotation)[key].default


def section_fields(section: Any) -> dict[str, Any]:
    """Returns the fields of a section by key."""
    assert issubclass(section, Section)
    return dict(section.model_fields)
