"""The settings of a run of reinforcement learning, but for those that its algorithm brings."""

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from meta_rl.config.algorithm import AlgorithmConfig
from meta_rl.config.rules import Rule, ValidSettings, contradictions, not_greater
from meta_rl.config.section import Count, Effect, PositiveInt, Section, Seed, setting
from meta_rl.reading.json_values import MAX_DEPTH, parse_json


class EnvConfig(Section):
    """The distribution of tasks."""

    id: str = setting(
        meaning="Registered id of the environment.", effect=Effect.PROBLEM, min_length=1
    )
    options: dict[str, JsonValue] = setting(
        {}, meaning="Keyword arguments for the environment's constructor.", effect=Effect.PROBLEM
    )
    observe_task: bool = setting(
        False,
        meaning="Append the task to each observation, as an oracle sees it.",
        effect=Effect.PROBLEM,
    )
    flatten_observations: bool = setting(
        False,
        meaning="Make vectors of dictionaries, tuples, pictures (in [0, 1]) and choices (one-hot).",
        effect=Effect.PROBLEM,
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
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = setting(
        (100, 100),
        meaning="Units of each hidden layer; none gives a linear policy.",
        effect=Effect.PROBLEM,
    )
    activation: Literal["tanh", "relu", "elu", "silu"] = setting(
        "tanh", meaning="Nonlinearity after each hidden layer.", effect=Effect.PROBLEM
    )
    output_scale: float = setting(
        1.0, meaning="Factor on the initial weights of the last layer.", effect=Effect.PROBLEM, gt=0
    )
    init_std: float = setting(
        1.0,
        meaning="Initial standard deviation of the actions; the action box is [-1, 1].",
        effect=Effect.PROBLEM,
        gt=0,
    )
    min_std: float = setting(
        1e-6, meaning="Floor of the standard deviation of the actions.", effect=Effect.PROBLEM, gt=0
    )
    normalise_observations: bool = setting(
        False,
        meaning="Scale observations by the running mean and standard deviation, clipped to +-10.",
        effect=Effect.PROBLEM,
    )


class RolloutConfig(Section):
    """How many episodes are collected, and how they are discounted."""

    episodes_per_task: Count = setting(
        20, meaning="Episodes per task and adaptation step.", effect=Effect.TRAINING, ge=2
    )
    horizon: Count = setting(200, meaning="Longest episode, in environment steps.", ge=1)
    discount_factor: float = setting(0.99, meaning="Discount per environment step.", gt=0, le=1)
    gae_lambda: float = setting(
        1.0,
        meaning="Bias (0) against variance (1) in generalised advantage estimation.",
        ge=0,
        le=1,
    )
    standardise_advantages: bool = setting(
        True,
        meaning="Give each task's advantages mean 0 and standard deviation 1.",
    )
    num_threads: Count = setting(
        0,
        meaning="Physics threads, or workers of a user's environment; 0 uses every CPU.",
        effect=Effect.SPEED,
        ge=0,
    )
    max_diverged_share: float = setting(
        0.1,
        meaning="Share of the episodes of a step that may end because a simulation diverged.",
        effect=Effect.TRAINING,
        ge=0,
        le=1,
    )
    step_timeout: float = setting(
        60.0,
        meaning="Longest call to a worker of a user's environment, in seconds.",
        effect=Effect.SPEED,
        gt=0,
    )


class EvaluationConfig(Section):
    """Adaptation to validation and test tasks."""

    every: Count = setting(
        20,
        meaning="Meta-iterations between evaluations; 0: only at the end.",
        effect=Effect.TRAINING,
        ge=0,
    )
    seed: Seed = setting(
        0, meaning="Seed of these tasks and their episodes, the same for every run.seed.", ge=0
    )
    num_tasks: Count = setting(40, meaning="Validation tasks, and as many for tests.", ge=2)
    episodes_per_task: Count = setting(20, meaning="Episodes per task and adaptation step.", ge=2)
    num_adaptation_steps: Count = setting(3, meaning="Gradient steps on each of these tasks.", ge=0)


class RunConfig(Section):
    """One run: where, how long, on what."""

    dir: Annotated[str, Field(min_length=1)] | None = setting(
        None, meaning="Folder of the run; null: runs/NAME-seedSEED-TIMESTAMP.", effect=Effect.LABELS
    )
    seed: Seed = setting(
        0, meaning="Seed of every random draw in training.", effect=Effect.TRAINING, ge=0
    )
    meta_batch_size: Count = setting(
        40, meaning="Tasks per meta-iteration.", effect=Effect.TRAINING, ge=1
    )
    meta_iterations: Count = setting(
        300, meaning="Meta-updates of the whole run.", effect=Effect.TRAINING, ge=1
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", meaning="Where tensors live; auto takes a GPU if there is one.", effect=Effect.SPEED
    )
    compile: bool = setting(
        False, meaning="Compile the meta-update where there is a compiler.", effect=Effect.SPEED
    )
    checkpoint_every: Count = setting(
        20, meaning="Meta-iterations between checkpoints.", effect=Effect.SPEED, ge=1
    )
    log_every: Count = setting(
        1, meaning="Meta-iterations that a line of the metrics sums up.", effect=Effect.LABELS, ge=1
    )
    keep_checkpoints: Count = setting(
        3,
        meaning="Latest checkpoints that are kept, besides the best one.",
        effect=Effect.SPEED,
        ge=1,
    )
    wandb: Literal["disabled", "offline", "online"] = setting(
        "disabled", meaning="Whether metrics also go to Weights & Biases.", effect=Effect.LABELS
    )
    wandb_project: str = setting(
        "meta-rl", meaning="Project at Weights & Biases.", effect=Effect.LABELS, min_length=1
    )


class RunKind(Section):
    """All settings of a run: what any kind of run has, and how its settings must agree.

    The algorithm's own sections are added by ``kinds.kind_of_run``.

    Attributes:
        task_section: the section that says what the tasks are, which other kinds do not have.
        tasks_give: what algorithms learn from, ``"episodes"`` or ``"examples"``.
        shown_of_tasks: settings of what a network is shown of a task, which stays the same task.
        tasks_are_exchangeable: whether a model can be evaluated on tasks of other settings.
        rules: what settings must hold together.
        algorithm_rules: what those that the algorithm brings must hold.
    """

    task_section: ClassVar[str]
    tasks_give: ClassVar[str]
    shown_of_tasks: ClassVar[tuple[str, ...]] = ()
    tasks_are_exchangeable: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = ()
    algorithm_rules: ClassVar[tuple[Rule, ...]] = ()

    run: RunConfig = RunConfig()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The sections that the algorithm brings, which it knows the types of."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Classes that are made for an algorithm have no name to be pickled by: values are sent."""
        from meta_rl.config.loading import config_from_mapping

        return config_from_mapping, (self.model_dump(mode="json"), "another rank")

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        rules = (*self.rules, *self.algorithm_rules)
        for _, text in contradictions(rules, ValidSettings(self)):
            raise ValueError(text)
        return self


class Config(RunKind):
    """All settings of a run of reinforcement learning."""

    task_section: ClassVar[str] = "env"
    tasks_give: ClassVar[str] = "episodes"
    shown_of_tasks: ClassVar[tuple[str, ...]] = ("env.observe_task",)
    rules: ClassVar[tuple[Rule, ...]] = (not_greater("policy.min_std", "policy.init_std"),)

    env: EnvConfig
    algorithm: AlgorithmConfig = AlgorithmConfig()
    policy: PolicyConfig = PolicyConfig()
    rollout: RolloutConfig = RolloutConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
