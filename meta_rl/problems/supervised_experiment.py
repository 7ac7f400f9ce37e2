"""What a configuration of supervised tasks stands for: tasks, network, inner and outer loop."""

from contextlib import AbstractContextManager, nullcontext
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from meta_rl.algorithms.adaptation import (
    InnerRule,
    adam_without_momentum,
    adaptation_steps,
    gradient_descent,
)
from meta_rl.algorithms.learner import Learner
from meta_rl.algorithms.outer_step import MamlStep, ReptileStep
from meta_rl.algorithms.reptile import mini_batches
from meta_rl.config import FewShotRunConfig, SineRunConfig
from meta_rl.curves.supervised_curve import SupervisedCurve
from meta_rl.models.conv_classifier import ConvClassifier
from meta_rl.models.mlp import MLP
from meta_rl.ops.adam import AdamMoments, initial_moments
from meta_rl.ops.losses import accuracy, cross_entropy, mean_squared_error
from meta_rl.ops.params import ravel
from meta_rl.problems.task_sources import FewShotSource, SineSource, TaskSource
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.supervised_state import SupervisedState
from meta_rl.runtime.device import resolve_device
from meta_rl.runtime.ranks import ALONE, RankError, Ranks
from meta_rl.runtime.seeding import RandomStreams, Split, parameter_generator
from meta_rl.tasks.mini_batches import mini_batch_index
from meta_rl.tasks.sine import INPUT_RANGE
from meta_rl.types import Examples, Params, SupervisedBatch

# Adam's usual constants; the inner one is Reptile's, whose beta1 is 0.
_MOMENTUM_DECAY, _SECOND_MOMENT_DECAY, _EPSILON = 0.9, 0.999, 1e-8
# Evaluation holds the parameters of every step of every task: 400 MB of them at once.
_MAX_PARAMETERS_HELD = 100_000_000

SupervisedRunConfigs = SineRunConfig | FewShotRunConfig


class SupervisedExperiment:
    """Everything that training and evaluation share, made once from the settings.

    Attributes:
        config: the settings.
        device: where tensors live.
        ranks: this process alone.
        tasks: where tasks come from.
        learner: network and loss, in training.
        outer_step: the meta-update.
    """

    def __init__(self, config: SupervisedRunConfigs, ranks: Ranks = ALONE) -> None:
        """Reads the dataset and draws the initial parameters.

        Raises:
            RankError: several processes are to share the tasks.
            DeviceError: the device is not there.
            DatasetError: the dataset cannot be used.
        """
        if ranks.size > 1:
            raise RankError("supervised tasks are one process's; start it without torchrun")
        self.config = config
        self.ranks = ranks
        self.device = resolve_device(config.run.device)
        self.tasks, network = _tasks_and_network(config, self.device)
        self._network = network.to(self.device)
        if isinstance(config, SineRunConfig):
            # Examples do not see each other in a perceptron: together is the same, and faster.
            self.learner = self._evaluated = Learner(network, mean_squared_error, True)
        else:
            self.learner = Learner(network, cross_entropy, config.few_shot.transductive)
            self._evaluated = Learner(network, cross_entropy, config.evaluation.transductive)
        self.outer_step = self._outer_step()

    @property
    def task_parameter_names(self) -> tuple[str, ...]:
        """Names of the entries of a task."""
        return self.tasks.task_parameter_names

    @property
    def initial_params(self) -> Params:
        """The parameters before any meta-update, a function of the seed alone."""
        return {name: value.detach().clone() for name, value in self._network.named_parameters()}

    @property
    def initial_state(self) -> SupervisedState:
        """Where training begins."""
        params, config = self.initial_params, self.config
        has_adam = config.meta_update.method == "maml" or config.adaptation.optimiser == "adam"
        return SupervisedState(params, initial_moments(ravel(params)) if has_adam else None)

    def torch_threads(self) -> AbstractContextManager[None]:
        """As many inside as are worth it: a sinusoid's matrices are too small to be shared."""
        return single_torch_thread() if isinstance(self.tasks, SineSource) else nullcontext()

    def training_batch(self, meta_iteration: int) -> tuple[SupervisedBatch, Tensor | None]:
        """Tasks of a meta-iteration, and which examples each of Reptile's inner steps sees."""
        config = self.config
        streams = RandomStreams(config.run.seed, Split.TRAIN, meta_iteration)
        rng = streams.task_generator()
        _, batch = self.tasks.sample(Split.TRAIN, config.meta_update.meta_batch_size, rng)
        if config.meta_update.method == "maml":
            return batch, None
        num_steps = config.adaptation.num_adaptation_steps
        return batch, self._mini_batch_index(batch, num_steps, rng)

    def meta_step_size(self, meta_iteration: int) -> float:
        """Step size of the outer loop after so many completed meta-iterations."""
        first, last = (
            self.config.meta_update.step_size,
            self.config.meta_update.final_step_size,
        )
        share = meta_iteration / self.config.run.meta_iterations
        return first if last is None else (1.0 - share) * first + share * last

    def evaluate(
        self, params: Params, split: Split, moments: AdamMoments | None = None
    ) -> SupervisedCurve:
        """Adapts to held-out tasks, the same ones at every call.

        ``moments`` is what ``SupervisedState`` remembers; Reptile's inner Adam starts with it.
        """
        evaluation = self.config.evaluation
        streams = RandomStreams(evaluation.seed, split, meta_iteration=0)
        rng = streams.task_generator()
        task, batch, index = self.held_out_batch(split, evaluation.num_tasks, rng)
        predictions = self.predict_steps(params, batch, index, moments)
        target = batch.query.target
        label = target[:, None].expand(*predictions.shape[:2], *target.shape[1:])
        loss = vmap(vmap(self.learner.loss))(predictions, label)
        right = None
        if isinstance(self.config, FewShotRunConfig):
            right = vmap(vmap(accuracy))(predictions, label).double().cpu().numpy()
        return SupervisedCurve(task, loss.double().cpu().numpy(), right)

    def held_out_batch(
        self, split: Split, num_tasks: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, SupervisedBatch, Tensor]:
        """Tasks [M, P], their examples, and which of them each step sees, [M, K, example]."""
        task, batch = self.tasks.sample(split, num_tasks, rng)
        num_steps = self.config.evaluation.num_adaptation_steps
        return task, batch, self._mini_batch_index(batch, num_steps, rng)

    def sine_grid(self, task: np.ndarray, num_points: int) -> Examples:
        """Evenly spaced inputs of sinusoids [M, P] with their labels."""
        assert isinstance(self.tasks, SineSource)
        x = np.linspace(*INPUT_RANGE, num_points)
        examples = self.tasks.sinusoids.examples(task, np.tile(x, (len(task), 1)))
        return Examples(*(entry.to(self.device) for entry in examples))

    def predict_steps(
        self,
        params: Params,
        batch: SupervisedBatch,
        mini_batch_index: Tensor,
        moments: AdamMoments | None = None,
    ) -> Tensor:
        """Outputs for the queries before and after each inner step.

        Args:
            params: the meta-parameters.
            batch: support and query examples of M tasks.
            mini_batch_index: int64 [M, K, example], which support examples each step sees.
            moments: as ``evaluate``.

        Returns:
            [M, K + 1, X, output].
        """
        num_steps = mini_batch_index.shape[1]
        memory = moments if self.config.adaptation.optimiser == "adam" else None

        def one_task(batch: SupervisedBatch, mini_batch_index: Tensor) -> Tensor:
            steps, _ = adaptation_steps(
                params,
                self.learner.support_loss,
                mini_batches(batch.support, mini_batch_index),
                step_sizes=[self.config.adaptation.inner_step_size] * num_steps,
                first_order=True,
                rule=self._rule,
                memory=memory,
            )
            return torch.stack(
                [self._evaluated.query_prediction(p, batch) for p in [params, *steps]]
            )

        num_parameters = sum(value.numel() for value in params.values())
        chunk = max(1, _MAX_PARAMETERS_HELD // (num_parameters * (num_steps + 1)))
        return vmap(one_task, chunk_size=chunk)(batch, mini_batch_index)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _rule(self) -> InnerRule:
        if self.config.adaptation.optimiser == "sgd":
            return gradient_descent
        return adam_without_momentum(_SECOND_MOMENT_DECAY, _EPSILON)

    def _outer_step(self) -> MamlStep | ReptileStep:
        adaptation, meta_update = self.config.adaptation, self.config.meta_update
        if meta_update.method == "maml":
            return MamlStep(
                self.learner,
                adaptation.inner_step_size,
                adaptation.num_adaptation_steps,
                adaptation.first_order,
                _MOMENTUM_DECAY,
                _SECOND_MOMENT_DECAY,
                _EPSILON,
            )
        weights = meta_update.gradient_weights or (1.0,) * adaptation.num_adaptation_steps
        return ReptileStep(self.learner, adaptation.inner_step_size, weights, self._rule)

    def _mini_batch_index(
        self, batch: SupervisedBatch, num_steps: int, rng: np.random.Generator
    ) -> Tensor:
        num_tasks, num_examples = batch.support.input.shape[:2]
        size = self.config.adaptation.examples_per_step or num_examples
        index = mini_batch_index(num_tasks, num_examples, size, num_steps, rng)
        return torch.from_numpy(index).to(self.device)


def _tasks_and_network(
    config: SupervisedRunConfigs, device: torch.device
) -> tuple[TaskSource, nn.Module]:
    generator = parameter_generator(config.run.seed)
    if isinstance(config, SineRunConfig):
        source = SineSource(config, device)
        return source, MLP(
            source.sinusoids.input_size,
            config.network.hidden_sizes,
            1,
            activation=config.network.activation,
            output_scale=1.0,
            generator=generator,
        )
    images = FewShotSource(config, device)
    return images, ConvClassifier(
        images.image_shape,
        config.network.num_filters,
        config.few_shot.ways,
        architecture=config.network.architecture,
        strided=config.network.strided,
        generator=generator,
    )
