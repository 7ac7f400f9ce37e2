"""Images sorted into classes: what every few-shot dataset is read into."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from meta_rl.reading import SentenceError


class DatasetError(SentenceError):
    """A dataset that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class ImageClasses:
    """Images of several classes, all of one size.

    Attributes:
        images: uint8 [image, height, width, channel], class by class.
        class_sizes: int64 [class], how many images each has.
        names: one per class.
    """

    images: np.ndarray
    class_sizes: np.ndarray
    names: tuple[str, ...]

    @property
    def first_image(self) -> np.ndarray:
        """int64 [class], index of the first image of each class."""
        return np.cumsum(self.class_sizes) - self.class_sizes

    @classmethod
    def from_array(cls, images: np.ndarray, names: tuple[str, ...]) -> Self:
        """From classes of equal size, uint8 [class, instance, height, width, channel]."""
        num_classes, num_instances = images.shape[:2]
        return cls(
            images.reshape(-1, *images.shape[2:]), np.full(num_classes, num_instances), names
        )

    def select(self, class_index: np.ndarray) -> Self:
        """Only these classes, in this order."""
        first = self.first_image
        kept = [np.arange(first[c], first[c] + self.class_sizes[c]) for c in class_index]
        return type(self)(
            self.images[np.concatenate([np.empty(0, np.int64), *kept])],
            self.class_sizes[class_index],
            tuple(self.names[c] for c in class_index),
        )


@dataclass(frozen=True)
class ClassSplit:
    """Three sets of classes that have none in common.

    Raises:
        DatasetError: two of them share a class.
    """

    train: ImageClasses
    validation: ImageClasses
    test: ImageClasses

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        seen: dict[str, str] = {}
        for part, classes in parts.items():
            for name in classes.names:
                if name in seen:
                    where = part if seen[name] == part else f"both {seen[name]} and {part}"
                    twice = "twice" if seen[name] == part else ""
                    raise DatasetError(
                        f"the split overlaps: class {name} is {twice + ' in' if twice else 'in'} "
                        f"{where}"
                    )
                seen[name] = part


def split_by_number(classes: ImageClasses, part: np.ndarray) -> ClassSplit:
    """Splits by a number per class: 0 train, 1 validation, 2 test; other numbers are left out."""
    return ClassSplit(*(classes.select(np.flatnonzero(part == number)) for number in range(3)))


def random_parts(num_classes: int, num_validation: int, num_test: int) -> np.ndarray:
    """A part per class as ``split_by_number`` takes it, the same at every call."""
    parts = np.zeros(num_classes, dtype=np.int64)
    parts[:num_validation] = 1
    parts[num_validation : num_validation + num_test] = 2
    return np.random.default_rng(0).permutation(parts)
