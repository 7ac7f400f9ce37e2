"""Every setting of a run on supervised tasks: its type, default, range and meaning."""

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from meta_rl.config.schema import Count, PositiveInt, RunConfig, Section, Seed

Get = Callable[[str], Any]
"""The value of the setting with a dotted name."""


class SineConfig(Section):
    """Sinusoids A sin(x - phi), A ~ U[.1, 5]."""

    max_phase: float = Field(default=math.pi, gt=0, description="phi is uniform from 0 to here.")
    grid_size: PositiveInt | None = Field(
        default=None,
        description="Draw inputs from so many even points on [-5, 5]; null: x ~ U[-5, 5].",
    )
    oracle: bool = Field(default=False, description="Show A and phi to the network, as an oracle.")
    shots: Count = Field(default=10, ge=1, description="Support examples of a training task.")
    queries: Count = Field(default=10, ge=1, description="Query examples of a training task.")


class FewShotConfig(Section):
    """N-way K-shot classification of images."""

    dataset: Literal["glyphs", "omniglot", "mini_imagenet"] = Field(
        default="glyphs", description="Where images come from; glyphs need no file."
    )
    path: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Folder or file of the dataset; null for glyphs."
    )
    download: bool = Field(
        default=False, description="Fetch Omniglot's archives into the path if they are missing."
    )
    split: Literal["vinyals", "reptile", "maml"] | None = Field(
        default=None, description="Which of Omniglot's splits; null: vinyals, or the dataset's own."
    )
    ways: Count = Field(default=5, ge=2, description="Classes of a task.")
    shots: Count = Field(default=1, ge=1, description="Support examples of a class in training.")
    queries: Count = Field(default=1, ge=1, description="Queries of a class in training.")
    rotations: bool = Field(
        default=False, description="Turn training classes by 90 degrees to make new ones."
    )
    invert: bool = Field(
        default=False, description="Feed 1 - pixel: ink is 0 and paper 1, as in Reptile's code."
    )
    transductive: bool = Field(
        default=True,
        description="Training queries share batch statistics; else each goes with the support set.",
    )


class NetworkConfig(Section):
    """The multi-layer perceptron whose initialisation is meta-learned."""

    # Not strict, so that a list from YAML becomes a tuple; its entries stay strict.
    hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = Field(
        default=(40, 40), description="Units of each hidden layer; none gives a linear model."
    )
    activation: Literal["tanh", "relu", "elu", "silu"] = Field(
        default="relu", description="Nonlinearity after each hidden layer."
    )


class ConvNetworkConfig(Section):
    """The convolutional classifier whose initialisation is meta-learned."""

    architecture: Literal["maml", "reptile"] = Field(
        default="maml", description="Whose net: reptile has biases and flattens, maml averages."
    )
    num_filters: Count = Field(default=64, ge=1, description="Filters of each of four layers.")
    strided: bool = Field(
        default=True, description="Convolutions of stride 2; else of stride 1 with max-pooling."
    )


class InnerLoopConfig(Section):
    """The inner loop: gradient steps on the support set of one task."""

    inner_step_size: float = Field(
        default=0.01, gt=0, description="Size of a step, for losses that are means over examples."
    )
    num_adaptation_steps: Count = Field(
        default=1, ge=0, description="Steps on each task in training; 0: pretraining on all tasks."
    )
    first_order: bool = Field(
        default=False, description="Leave second derivatives out of the meta-gradient (FOMAML)."
    )
    optimiser: Literal["sgd", "adam"] = Field(
        default="sgd", description="Of the inner steps; adam, with beta1 = 0, is Reptile's."
    )
    examples_per_step: PositiveInt | None = Field(
        default=None, description="Size of Reptile's inner mini-batches; null: the support set."
    )


class OuterLoopConfig(Section):
    """The outer loop: how tasks change the initialisation."""

    method: Literal["maml", "reptile"] = Field(
        default="maml", description="maml: Adam on the meta-gradient; reptile: a step to the tasks."
    )
    meta_batch_size: Count = Field(default=25, ge=1, description="Tasks per meta-iteration.")
    step_size: float = Field(
        default=0.001, gt=0, description="Of Adam, or the share of the way to the tasks."
    )
    final_step_size: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Reached linearly at the last iteration; null: constant."
    )
    gradient_weights: Annotated[tuple[float, ...], Field(strict=False)] | None = Field(
        default=None, description="Weight of each of Reptile's inner gradients; null: all 1."
    )


class SupervisedEvaluationConfig(Section):
    """Adaptation to held-out tasks."""

    every: Count = Field(
        default=1000, ge=0, description="Meta-iterations between evaluations; 0: only at the end."
    )
    seed: Seed = Field(
        default=0, ge=0, description="Seed of the held-out tasks, the same for every run.seed."
    )
    num_tasks: Count = Field(default=600, ge=2, description="Held-out tasks.")
    shots: Count = Field(default=5, ge=1, description="Support examples, of each class in images.")
    queries: Count = Field(default=100, ge=1, description="Queries, of each class in images.")
    num_adaptation_steps: Count = Field(
        default=10, ge=0, description="Gradient steps on each held-out task."
    )


class FewShotEvaluationConfig(SupervisedEvaluationConfig):
    """Adaptation to tasks of held-out classes."""

    shots: Count = Field(default=1, ge=1, description="Support examples of a class.")
    queries: Count = Field(default=1, ge=1, description="Queries of a class.")
    num_adaptation_steps: Count = Field(
        default=3, ge=0, description="Gradient steps on each held-out task."
    )
    transductive: bool = Field(
        default=True,
        description="Queries share batch statistics; else each goes with the support set.",
    )


class SupervisedRunConfig(RunConfig):
    """One run: where, how long, on what."""

    meta_iterations: Count = Field(
        default=70_000, ge=1, description="Meta-updates of the whole run."
    )
    checkpoint_every: Count = Field(
        default=1000, ge=1, description="Meta-iterations between checkpoints."
    )
    log_every: Count = Field(
        default=100, ge=1, description="Meta-iterations that a line of the metrics sums up."
    )


class SupervisedConfig(Section):
    """What runs on sinusoids and on images have in common."""

    task_section: ClassVar[str]
    """Name of the section that only this kind of run has."""

    adaptation: InnerLoopConfig = InnerLoopConfig()
    meta_update: OuterLoopConfig = OuterLoopConfig()
    run: SupervisedRunConfig = SupervisedRunConfig()

    @classmethod
    def contradictions(cls, get: Get) -> Iterator[tuple[str, str]]:
        """Yields settings that do not go with others: the one to blame, and a sentence."""
        if get("meta_update.method") == "maml":
            only_reptile = {
                "adaptation.optimiser": "sgd",
                "adaptation.examples_per_step": None,
                "meta_update.gradient_weights": None,
            }
            for name, wanted in only_reptile.items():
                if get(name) != wanted:
                    yield name, f"{name} is for meta_update.method=reptile only"
            return
        num_steps, weights = get("adaptation.num_adaptation_steps"), get(_WEIGHTS)
        if get("adaptation.first_order"):
            yield (
                "adaptation.first_order",
                "adaptation.first_order is for meta_update.method=maml only",
            )
        if num_steps < 1:
            yield (
                "adaptation.num_adaptation_steps",
                "adaptation.num_adaptation_steps should be at least 1 with "
                "meta_update.method=reptile",
            )
        elif weights is not None and (len(weights) != num_steps or not any(weights)):
            yield (
                _WEIGHTS,
                f"{_WEIGHTS} should hold {num_steps} numbers that are not all zero, one for each "
                "of adaptation.num_adaptation_steps",
            )

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        for _, text in self.contradictions(self._get):
            raise ValueError(text)
        return self

    def _get(self, name: str) -> Any:
        section, key = name.split(".")
        return getattr(getattr(self, section), key)


class SineRunConfig(SupervisedConfig):
    """All settings of a run on sinusoids."""

    task_section: ClassVar[str] = "sine"

    sine: SineConfig = SineConfig()
    network: NetworkConfig = NetworkConfig()
    evaluation: SupervisedEvaluationConfig = SupervisedEvaluationConfig()

    @classmethod
    def contradictions(cls, get: Get) -> Iterator[tuple[str, str]]:
        """A task cannot have more inputs than the grid has points."""
        yield from super().contradictions(get)
        size = get("sine.grid_size")
        names = ("sine.shots", "sine.queries", "evaluation.shots", "evaluation.queries")
        for name in names if size is not None else ():
            if get(name) > size:
                yield (
                    name,
                    f"{name} ({get(name)}) should not be greater than sine.grid_size ({size})",
                )


class FewShotRunConfig(SupervisedConfig):
    """All settings of a run on few-shot classification."""

    task_section: ClassVar[str] = "few_shot"

    few_shot: FewShotConfig = FewShotConfig()
    network: ConvNetworkConfig = ConvNetworkConfig()
    evaluation: FewShotEvaluationConfig = FewShotEvaluationConfig()

    @classmethod
    def contradictions(cls, get: Get) -> Iterator[tuple[str, str]]:
        """Datasets differ in what they need."""
        yield from super().contradictions(get)
        dataset, path = get("few_shot.dataset"), get("few_shot.path")
        if dataset == "glyphs" and path is not None:
            yield "few_shot.path", "few_shot.path should be null with few_shot.dataset=glyphs"
        if dataset != "omniglot":
            for name, wanted in {"few_shot.split": None, "few_shot.download": False}.items():
                if get(name) != wanted:
                    yield name, f"{name} is for few_shot.dataset=omniglot only"


_WEIGHTS = "meta_update.gradient_weights"
