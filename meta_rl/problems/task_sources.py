"""The supervised tasks that a configuration names, split by split."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from meta_rl.config import FewShotRunConfig, SineRunConfig
from meta_rl.runtime.seeding import Split
from meta_rl.tasks.few_shot import EpisodeShape, FewShotTasks
from meta_rl.tasks.glyphs import load_glyphs
from meta_rl.tasks.image_classes import ClassSplit
from meta_rl.tasks.mini_imagenet import load_mini_imagenet
from meta_rl.tasks.omniglot import load_omniglot
from meta_rl.tasks.sine import Sinusoids
from meta_rl.types import Examples, SupervisedBatch


class TaskSource(Protocol):
    """Draws tasks of any split with their examples."""

    def sample(
        self, split: Split, num_tasks: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, SupervisedBatch]:
        """Tasks [M, P] and their examples: as many as training or as evaluation asks for."""


class SineSource:
    """Sinusoids: all splits draw from one distribution, with random numbers of their own."""

    def __init__(self, config: SineRunConfig, device: torch.device) -> None:
        """Keeps how many examples there are, and where they go."""
        sine, evaluation = config.sine, config.evaluation
        self.sinusoids = Sinusoids(sine.max_phase, sine.grid_size, sine.oracle)
        self._training = (sine.shots, sine.queries)
        self._evaluation = (evaluation.shots, evaluation.queries)
        self._device = device

    def sample(
        self, split: Split, num_tasks: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, SupervisedBatch]:
        """See ``TaskSource.sample``."""
        sizes = self._training if split is Split.TRAIN else self._evaluation
        task, batch = self.sinusoids.sample(num_tasks, *sizes, rng)
        return task, SupervisedBatch(*(_to(examples, self._device) for examples in batch))


class FewShotSource:
    """Episodes of images, each split with classes of its own."""

    def __init__(self, config: FewShotRunConfig, device: torch.device) -> None:
        """Reads the dataset.

        Raises:
            DatasetError: it cannot be used, or is too small for the tasks.
        """
        few_shot, evaluation = config.few_shot, config.evaluation
        self._training = EpisodeShape(few_shot.ways, few_shot.shots, few_shot.queries)
        self._evaluation = EpisodeShape(few_shot.ways, evaluation.shots, evaluation.queries)
        classes = load_classes(config)
        self._tasks = {
            split: FewShotTasks(
                getattr(classes, split.name.lower()),
                # As in Reptile's code: held-out characters stay upright.
                rotations=few_shot.rotations and split is Split.TRAIN,
                invert=few_shot.invert,
                name="training" if split is Split.TRAIN else split.name.lower(),
                device=device,
            )
            for split in Split
        }
        for split, tasks in self._tasks.items():
            tasks.check(self._shape(split))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channel)."""
        return self._tasks[Split.TRAIN].image_shape

    def sample(
        self, split: Split, num_tasks: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, SupervisedBatch]:
        """See ``TaskSource.sample``."""
        return self._tasks[split].sample(num_tasks, self._shape(split), rng)

    def _shape(self, split: Split) -> EpisodeShape:
        return self._training if split is Split.TRAIN else self._evaluation


def load_classes(config: FewShotRunConfig) -> ClassSplit:
    """Reads the dataset that the settings name.

    Raises:
        DatasetError: it cannot be used.
    """
    few_shot = config.few_shot
    if few_shot.dataset == "glyphs":
        return load_glyphs()
    path = None if few_shot.path is None else Path(few_shot.path).expanduser()
    if few_shot.dataset == "mini_imagenet":
        return load_mini_imagenet(path)
    return load_omniglot(path, split=few_shot.split or "vinyals", download=few_shot.download)


def _to(examples: Examples, device: torch.device) -> Examples:
    return Examples(*(entry.to(device) for entry in examples))
