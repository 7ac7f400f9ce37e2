"""mini-ImageNet as Ravi & Larochelle (2017) split it, from images that the user has.

A folder holds ``train.csv``, ``val.csv`` and ``test.csv`` with columns ``filename,label`` (64, 16
and 20 classes), and ``images/`` with the files that they name, which cannot be passed on.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from meta_rl.tasks.image_classes import ClassSplit, DatasetError, ImageClasses

FILES = ("train.csv", "val.csv", "test.csv")


def load_mini_imagenet(folder: Path | None) -> ClassSplit:
    """Reads the images of all three sets, as RGB.

    Raises:
        DatasetError: files are missing or damaged, images differ in size, or sets share a class.
    """
    if folder is None or not folder.is_dir():
        where = "few_shot.path is not set" if folder is None else f"there is no folder {folder}"
        raise DatasetError(
            f"{where}: for mini-ImageNet it should be a folder with "
            f"{', '.join(FILES)} of Ravi & Larochelle and the images, 84 x 84 pixels, in images/; "
            "the images come from ImageNet (https://image-net.org) and cannot be passed on"
        )
    split = ClassSplit(*(_read_set(folder, name) for name in FILES))
    sizes = {part.images.shape[1:] for part in (split.train, split.validation, split.test)}
    if len(sizes) > 1:
        raise DatasetError(f"the images in {folder} are of unequal size: {_shown(sizes)}")
    return split


def _read_set(folder: Path, name: str) -> ImageClasses:
    path = folder / name
    files: dict[str, list[str]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                files[row["label"]].append(row["filename"])
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it should have columns filename,label"
        raise DatasetError(f"{path} cannot be read: {reason}") from None
    if not files:
        raise DatasetError(f"{path} names no images")
    images = [_read_image(folder / "images" / name) for names in files.values() for name in names]
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise DatasetError(f"the images of {path} are of unequal size: {_shown(sizes)}")
    return ImageClasses(
        np.stack(images), np.array([len(names) for names in files.values()]), tuple(files)
    )


def _read_image(path: Path) -> np.ndarray:
    """uint8 [height, width, 3]."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DatasetError(
            f"{path} cannot be read as an image: {getattr(error, 'strerror', None) or error}"
        ) from None


def _shown(sizes: set[tuple[int, ...]]) -> str:
    return ", ".join(f"{height} x {width}" for height, width, *_ in sorted(sizes))
