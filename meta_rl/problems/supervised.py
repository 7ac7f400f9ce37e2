"""Supervised learning: tasks with examples, adapted to by a network, scored on their queries."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from meta_rl.algorithms.learner import Learner
from meta_rl.algorithms.protocol import TrainingContext
from meta_rl.config import FewShotRunConfig, SineRunConfig, algorithm_class
from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.models.conv_classifier import ConvClassifier
from meta_rl.models.mlp import MLP
from meta_rl.ops.losses import accuracy, cross_entropy, mean_squared_error
from meta_rl.problems.algorithm_results import (
    checked_initial_state,
    checked_stages,
    checked_update,
    not_finite,
)
from meta_rl.problems.finite_checks import quantities_of, refuse_first
from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.problems.task_sources import FewShotSource, SineSource, TaskSource
from meta_rl.rollouts.sampler import NumericalError, single_torch_thread
from meta_rl.runs.progress import Cell, RowFormat, Shown, format_ends, seconds_cell
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.compilation import update_compiler
from meta_rl.runtime.device import resolve_device, steps_per_chunk
from meta_rl.runtime.notes import Notes
from meta_rl.runtime.ranks import ALONE, RankError, Ranks
from meta_rl.runtime.seeding import (
    RandomStreams,
    Split,
    algorithm_generator,
    parameter_generator,
)
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.tasks.mini_batches import mini_batch_index
from meta_rl.tasks.sine import INPUT_RANGE, Sinusoids
from meta_rl.types import Examples, SupervisedBatch

SupervisedRunConfigs = SineRunConfig | FewShotRunConfig
HELD_OUT = TaskOrigin("held-out tasks", held_out=True)


@dataclass(frozen=True)
class TaskExamples:
    """``ExampleData`` of M tasks, on one device.

    Attributes:
        batch: support and query examples.
        transductive: whether all queries of a task go through a network together.
        rng: what the order of mini-batches is drawn from.
    """

    batch: SupervisedBatch
    transductive: bool
    rng: np.random.Generator

    def mini_batch_index(self, num_steps: int, size: int | None) -> Tensor:
        """See ``ExampleData``."""
        support = self.batch.support.input
        num_tasks, num_examples = support.shape[:2]
        index = mini_batch_index(num_tasks, num_examples, size or num_examples, num_steps, self.rng)
        return torch.from_numpy(index).to(support.device)


class SupervisedProblem:
    """A ``Problem``: everything that training and evaluation share, made once from the settings.

    Attributes:
        config: the settings.
        ranks: this process alone.
        device: where tensors live.
        tasks: where tasks come from.
        learner: network and loss, in training.
        algorithm: what learns.
        notes: lines for the user.
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
        self.notes = Notes()
        self.tasks, network = _tasks_and_network(config, self.device)
        network = network.to(self.device)
        if isinstance(config, SineRunConfig):
            # Examples do not see each other in a perceptron: together is the same, and faster.
            self.learner, self._transductive = Learner(network, mean_squared_error, True), True
        else:
            self.learner = Learner(network, cross_entropy, config.few_shot.transductive)
            self._transductive = config.evaluation.transductive
        self.algorithm = algorithm_class(config.algorithm.name)(
            config, self.learner, self._context()
        )

    @property
    def title(self) -> str:
        """The kind of tasks."""
        return described_tasks(self.config).title

    @property
    def task_parameter_names(self) -> tuple[str, ...]:
        """Names of the entries of a task."""
        return described_tasks(self.config).parameter_names

    @property
    def value_names(self) -> tuple[str, ...]:
        """What is measured of a task; the last one is what papers state."""
        return described_tasks(self.config).value_names

    @property
    def row_format(self) -> RowFormat:
        """The loss after adapting, what the algorithm shows, and the cost."""
        show: Shown = getattr(self.algorithm, "progress", lambda record: {})

        def cells(record: Mapping[str, Any]) -> list[Cell]:
            return [
                *(Cell(header, text, f"{header} {{}}") for header, text in show(record).items()),
                Cell("updates/s", f"{record['iterations_per_second']:,.1f}", "{} updates/s"),
                seconds_cell(record, ("sampling", "updating")),
            ]

        return RowFormat(cells, f"validation_{self.value_names[-1]}", format_ends)

    def initial_state(self) -> TrainerState:
        """See ``Problem``."""
        generator = algorithm_generator(self.config.run.seed)
        state = self.algorithm.initial_state(generator)
        return TrainerState(checked_initial_state(self.config.algorithm.name, state))

    def warnings(self) -> Sequence[str]:
        """None."""
        return ()

    def around_training(self) -> AbstractContextManager[None]:
        """As many threads as are worth it: a sinusoid's matrices are too small to be shared."""
        return single_torch_thread() if isinstance(self.tasks, SineSource) else nullcontext()

    def meta_iteration(
        self, state: TrainerState, clock: StageClock
    ) -> tuple[TrainerState, Mapping[str, Any]]:
        """See ``Problem``."""
        with clock.measure("sampling"):
            data = self.training_data(state.meta_iteration)
        with clock.measure("updating"):
            result = self.algorithm.update(state.learned, data, state.meta_iteration)
        learned, metrics = checked_update(self.config.algorithm.name, result, state.learned)
        metric = not_finite(metrics, getattr(self.algorithm, "finite_metrics", None))
        if metric is not None:
            computed = quantities_of(self.algorithm, "update", state.learned, data)
            refuse_first(computed, lambda task: f"task {task}")
            raise NumericalError(f"{metric} is not finite, although the loss of each task is")
        next_state = replace(state, learned=learned, meta_iteration=state.meta_iteration + 1)
        return next_state, metrics

    def training_data(self, meta_iteration: int) -> TaskExamples:
        """The tasks of a meta-iteration."""
        streams = RandomStreams(self.config.run.seed, Split.TRAIN, meta_iteration)
        rng = streams.task_generator()
        _, batch = self.tasks.sample(Split.TRAIN, self.config.run.meta_batch_size, rng)
        return TaskExamples(batch, self.learner.transductive, rng)

    def evaluate(self, state: TrainerState, split: Split) -> AdaptationCurve:
        """See ``Problem``."""
        task, data = self.held_out_data(split, self.config.evaluation.num_tasks)
        return self.curve(task, data, self.predict(state, data))

    def held_out_data(self, split: Split, num_tasks: int) -> tuple[np.ndarray, TaskExamples]:
        """The first validation or test tasks [M, P], and their examples."""
        streams = RandomStreams(self.config.evaluation.seed, split, meta_iteration=0)
        rng = streams.task_generator()
        task, batch = self.tasks.sample(split, num_tasks, rng)
        return task, TaskExamples(batch, self._transductive, rng)

    def predict(self, state: TrainerState, data: TaskExamples) -> Tensor:
        """Outputs for the queries before and after each adaptation step, [M, K + 1, X, output]."""
        num_steps = self.config.evaluation.num_adaptation_steps
        stages = self.algorithm.adapt(state.learned, data, num_steps)
        name = self.config.algorithm.name
        return torch.stack(checked_stages(name, stages, Tensor, num_steps), dim=1)

    def curve(self, task: np.ndarray, data: TaskExamples, predictions: Tensor) -> AdaptationCurve:
        """Losses, and accuracies for classes, of predictions [M, K + 1, X, output]."""
        target = data.batch.query.target
        label = target[:, None].expand(*predictions.shape[:2], *target.shape[1:])
        measures = {"loss": self.learner.loss, "accuracy": accuracy}
        quantities = {
            name: vmap(vmap(measures[name]))(predictions, label).double().cpu().numpy()[..., None]
            for name in self.value_names
        }
        return AdaptationCurve(task, quantities)

    def sine_grid(self, task: np.ndarray, num_points: int) -> Examples:
        """Evenly spaced inputs of sinusoids [M, P] with their labels."""
        assert isinstance(self.tasks, SineSource)
        x = np.linspace(*INPUT_RANGE, num_points)
        examples = self.tasks.sinusoids.examples(task, np.tile(x, (len(task), 1)))
        return Examples(*(entry.to(self.device) for entry in examples))

    def test_origin(self, tasks: np.ndarray) -> TaskOrigin:
        """Sinusoids are never drawn twice, and image classes of the splits differ."""
        return HELD_OUT

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _context(self) -> TrainingContext:
        run = self.config.run
        return TrainingContext(
            num_meta_iterations=run.meta_iterations,
            steps_per_chunk=steps_per_chunk(self.device),
            compiler=update_compiler(self.device, compiled=run.compile, note=self.notes),
        )


class TaskDescription(NamedTuple):
    """What supervised tasks are, in words.

    Attributes:
        title: the kind of tasks.
        parameter_names: names of the entries of a task.
        value_names: what is measured of a task; the last one is what papers state.
    """

    title: str
    parameter_names: tuple[str, ...]
    value_names: tuple[str, ...]


def described_tasks(config: SupervisedRunConfigs) -> TaskDescription:
    """What the tasks of a run are; no data are read."""
    if isinstance(config, SineRunConfig):
        return TaskDescription("sinusoids", Sinusoids.task_parameter_names, ("loss",))
    few_shot = config.few_shot
    title = f"{few_shot.ways}-way {few_shot.dataset}"
    classes = tuple(f"class_{way}" for way in range(few_shot.ways))
    return TaskDescription(title, classes, ("loss", "accuracy"))


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
