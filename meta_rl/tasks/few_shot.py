"""N-way K-shot classification episodes from classes of images (Vinyals et al. 2016)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from meta_rl.tasks.image_classes import DatasetError, ImageClasses
from meta_rl.types import Examples, SupervisedBatch


@dataclass(frozen=True)
class EpisodeShape:
    """Size of an episode.

    Attributes:
        num_ways: classes.
        num_shots: support examples per class.
        num_queries: queries per class.
    """

    num_ways: int
    num_shots: int
    num_queries: int


class FewShotTasks:
    """Tasks that tell a few classes apart, with labels given at random.

    Args:
        classes: what the tasks are made of.
        rotations: whether each class is four, turned by 0, 90, 180 and 270 degrees.
        invert: whether pixels are fed as ``1 - value``.
        name: how messages call these classes, for example ``training``.
        device: where the images are kept and the examples made.
    """

    def __init__(
        self,
        classes: ImageClasses,
        *,
        rotations: bool,
        invert: bool,
        name: str,
        device: torch.device,
    ) -> None:
        height, width, _ = classes.images.shape[1:]
        if rotations and height != width:
            raise DatasetError(f"images of {height} x {width} pixels are not square to be turned")
        self._classes = classes
        self._num_turns = 4 if rotations else 1
        self._invert = invert
        self._name = name
        self._images = torch.from_numpy(classes.images).to(device)
        pixels = np.arange(height * width).reshape(height, width)
        turned = np.stack([np.rot90(pixels, turns).ravel() for turns in range(self._num_turns)])
        self._turned_pixel = torch.from_numpy(turned).to(device)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channel)."""
        height, width, channel = self._classes.images.shape[1:]
        return height, width, channel

    @property
    def num_classes(self) -> int:
        """How many classes there are, turned ones counted apart."""
        return len(self._classes.class_sizes) * self._num_turns

    def check(self, shape: EpisodeShape) -> None:
        """Raises a ``DatasetError`` if episodes of this shape cannot be drawn."""
        if self.num_classes < shape.num_ways:
            raise DatasetError(
                f"the {self._name} set has {self.num_classes} classes, fewer than the "
                f"{shape.num_ways} ways of a task"
            )
        wanted = shape.num_shots + shape.num_queries
        sizes = self._classes.class_sizes
        smallest = int(np.argmin(sizes))
        if sizes[smallest] < wanted:
            raise DatasetError(
                f"class {self._classes.names[smallest]} of the {self._name} set has "
                f"{sizes[smallest]} examples, fewer than the {shape.num_shots} shots and "
                f"{shape.num_queries} queries of a task"
            )

    def sample(
        self, num_tasks: int, shape: EpisodeShape, rng: np.random.Generator
    ) -> tuple[np.ndarray, SupervisedBatch]:
        """Draws tasks and their examples, without a class or an image twice in a task.

        Returns:
            The classes of each task [M, way], numbered with their turns; and examples in the order
            of their labels: input float32 [M, X, height, width, channel] in [0, 1], target [M, X].
        """
        num_images = shape.num_shots + shape.num_queries
        task = rng.random((num_tasks, self.num_classes)).argpartition(shape.num_ways - 1)
        task = task[:, : shape.num_ways]
        row, turns = np.divmod(task, self._num_turns)
        sizes = self._classes.class_sizes
        order = rng.random((num_tasks, shape.num_ways, sizes.max()))
        order[np.arange(sizes.max()) >= sizes[row][..., None]] = 2.0  # past the class's end: last
        chosen = order.argsort(axis=-1)[..., :num_images]
        image = self._pixels(self._classes.first_image[row][..., None] + chosen, turns)
        support, query = image.split([shape.num_shots, shape.num_queries], dim=2)
        return task, SupervisedBatch(_examples(support), _examples(query))

    def _pixels(self, index: np.ndarray, turns: np.ndarray) -> Tensor:
        """Images [M, way, image] with their classes' turns [M, way], as numbers in [0, 1]."""
        device = self._images.device
        flat = self._images[torch.from_numpy(index).to(device)].flatten(3, 4)
        if self._num_turns > 1:
            pixel = self._turned_pixel[torch.from_numpy(turns).to(device)]
            flat = flat.gather(3, pixel[:, :, None, :, None].expand_as(flat))
        value = flat.unflatten(3, self.image_shape[:2]).to(torch.float32) / 255.0
        return 1.0 - value if self._invert else value


def _examples(image: Tensor) -> Examples:
    """[M, way, example, height, width, channel] -> examples whose target is the way."""
    num_tasks, num_ways, num_examples = image.shape[:3]
    label = torch.arange(num_ways, device=image.device).repeat_interleave(num_examples)
    return Examples(image.flatten(1, 2), label.expand(num_tasks, -1))
