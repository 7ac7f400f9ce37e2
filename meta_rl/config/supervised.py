"""The settings of a run on supervised tasks, but for those that its algorithm brings."""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from meta_rl.config.algorithm import SupervisedAlgorithmConfig
from meta_rl.config.rules import Contradiction, Rule, Settings, not_greater
from meta_rl.config.schema import RunConfig, RunKind
from meta_rl.config.section import Count, Effect, PositiveInt, Section, Seed, setting


class SineConfig(Section):
    """Sinusoids A sin(x - phi), A ~ U[.1, 5]."""

    max_phase: float = setting(
        math.pi, meaning="phi is uniform from 0 to here.", effect=Effect.PROBLEM, gt=0
    )
    grid_size: PositiveInt | None = setting(
        None,
        meaning="Draw inputs from so many even points on [-5, 5]; null: x ~ U[-5, 5].",
        effect=Effect.PROBLEM,
    )
    oracle: bool = setting(
        False, meaning="Show A and phi to the network, as an oracle.", effect=Effect.PROBLEM
    )
    shots: Count = setting(
        10, meaning="Support examples of a training task.", effect=Effect.PROBLEM, ge=1
    )
    queries: Count = setting(
        10, meaning="Query examples of a training task.", effect=Effect.PROBLEM, ge=1
    )


class FewShotConfig(Section):
    """N-way K-shot classification of images."""

    dataset: Literal["glyphs", "omniglot", "mini_imagenet"] = setting(
        "glyphs", meaning="Where images come from; glyphs need no file.", effect=Effect.PROBLEM
    )
    path: Annotated[str, Field(min_length=1)] | None = setting(
        None, meaning="Folder or file of the dataset; null for glyphs.", effect=Effect.PROBLEM
    )
    download: bool = setting(
        False,
        meaning="Fetch Omniglot's archives into the path if they are missing.",
        effect=Effect.PROBLEM,
    )
    split: Literal["vinyals", "reptile", "maml"] | None = setting(
        None,
        meaning="Which of Omniglot's splits; null: vinyals, or the dataset's own.",
        effect=Effect.PROBLEM,
    )
    ways: Count = setting(5, meaning="Classes of a task.", effect=Effect.PROBLEM, ge=2)
    shots: Count = setting(
        1, meaning="Support examples of a class in training.", effect=Effect.PROBLEM, ge=1
    )
    queries: Count = setting(
        1, meaning="Queries of a class in training.", effect=Effect.PROBLEM, ge=1
    )
    rotations: bool = setting(
        False,
        meaning="Turn training classes by 90 degrees to make new ones.",
        effect=Effect.PROBLEM,
    )
    invert: bool = setting(
        False,
        meaning="Feed 1 - pixel: ink is 0 and paper 1, as in Reptile's code.",
        effect=Effect.PROBLEM,
    )
    transductive: bool = setting(
        True,
        meaning="Training queries share batch statistics; else each goes with the support set.",
        effect=Effect.PROBLEM,
    )


class NetworkConfig(Section):
    """The multi-layer perceptron whose initialisation is meta-learned."""

    # Not strict, so that a list from YAML becomes a tuple; its entries stay strict.
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = setting(
        (40, 40),
        meaning="Units of each hidden layer; none gives a linear model.",
        effect=Effect.PROBLEM,
    )
    activation: Literal["tanh", "relu", "elu", "silu"] = setting(
        "relu", meaning="Nonlinearity after each hidden layer.", effect=Effect.PROBLEM
    )


class ConvNetworkConfig(Section):
    """The convolutional classifier whose initialisation is meta-learned."""

    architecture: Literal["maml", "reptile"] = setting(
        "maml",
        meaning="Whose net: reptile has biases and flattens, maml averages.",
        effect=Effect.PROBLEM,
    )
    num_filters: Count = setting(
        64, meaning="Filters of each of four layers.", effect=Effect.PROBLEM, ge=1
    )
    strided: bool = setting(
        True,
        meaning="Convolutions of stride 2; else of stride 1 with max-pooling.",
        effect=Effect.PROBLEM,
    )


class SupervisedEvaluationConfig(Section):
    """Adaptation to held-out tasks."""

    every: Count = setting(
        1000,
        meaning="Meta-iterations between evaluations; 0: only at the end.",
        effect=Effect.TRAINING,
        ge=0,
    )
    seed: Seed = setting(
        0, meaning="Seed of the held-out tasks, the same for every run.seed.", ge=0
    )
    num_tasks: Count = setting(600, meaning="Held-out tasks.", ge=2)
    shots: Count = setting(5, meaning="Support examples, of each class in images.", ge=1)
    queries: Count = setting(100, meaning="Queries, of each class in images.", ge=1)
    num_adaptation_steps: Count = setting(10, meaning="Gradient steps on each held-out task.", ge=0)


class FewShotEvaluationConfig(SupervisedEvaluationConfig):
    """Adaptation to tasks of held-out classes."""

    shots: Count = setting(1, meaning="Support examples of a class.", ge=1)
    queries: Count = setting(1, meaning="Queries of a class.", ge=1)
    num_adaptation_steps: Count = setting(3, meaning="Gradient steps on each held-out task.", ge=0)
    transductive: bool = setting(
        True, meaning="Queries share batch statistics; else each goes with the support set."
    )


class SupervisedRunConfig(RunConfig):
    """One run: where, how long, on what."""

    meta_batch_size: Count = setting(
        25, meaning="Tasks per meta-iteration.", effect=Effect.TRAINING, ge=1
    )
    meta_iterations: Count = setting(
        70_000, meaning="Meta-updates of the whole run.", effect=Effect.TRAINING, ge=1
    )
    checkpoint_every: Count = setting(
        1000, meaning="Meta-iterations between checkpoints.", effect=Effect.SPEED, ge=1
    )
    log_every: Count = setting(
        100,
        meaning="Meta-iterations that a line of the metrics sums up.",
        effect=Effect.LABELS,
        ge=1,
    )


class SupervisedConfig(RunKind):
    """What runs on sinusoids and on images have in common."""

    tasks_are_exchangeable: ClassVar[bool] = True
    tasks_give: ClassVar[str] = "examples"

    algorithm: SupervisedAlgorithmConfig = SupervisedAlgorithmConfig()
    run: SupervisedRunConfig = SupervisedRunConfig()


class SineRunConfig(SupervisedConfig):
    """All settings of a run on sinusoids."""

    task_section: ClassVar[str] = "sine"
    shown_of_tasks: ClassVar[tuple[str, ...]] = ("sine.oracle",)
    # A task cannot have more inputs than the grid has points.
    rules: ClassVar[tuple[Rule, ...]] = tuple(
        not_greater(name, "sine.grid_size")
        for name in ("sine.shots", "sine.queries", "evaluation.shots", "evaluation.queries")
    )

    sine: SineConfig = SineConfig()
    network: NetworkConfig = NetworkConfig()
    evaluation: SupervisedEvaluationConfig = SupervisedEvaluationConfig()


def _dataset_has_what_it_needs(settings: Settings) -> Iterator[Contradiction]:
    dataset, path = settings("few_shot.dataset"), settings("few_shot.path")
    if dataset == "glyphs" and path is not None:
        yield "few_shot.path", "few_shot.path should be null with few_shot.dataset=glyphs"
    if dataset != "omniglot":
        for name, wanted in {"few_shot.split": None, "few_shot.download": False}.items():
            if settings(name) != wanted:
                yield name, f"{name} is for few_shot.dataset=omniglot only"


class FewShotRunConfig(SupervisedConfig):
    """All settings of a run on few-shot classification."""

    task_section: ClassVar[str] = "few_shot"
    shown_of_tasks: ClassVar[tuple[str, ...]] = ("few_shot.invert",)
    rules: ClassVar[tuple[Rule, ...]] = (_dataset_has_what_it_needs,)

    few_shot: FewShotConfig = FewShotConfig()
    network: ConvNetworkConfig = ConvNetworkConfig()
    evaluation: FewShotEvaluationConfig = FewShotEvaluationConfig()
