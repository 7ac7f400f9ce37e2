"""mini-ImageNet as Ravi & Larochelle (2017) split it, from images that the user has.

A folder holds ``train.csv``, ``val.csv`` and ``test.csv`` with columns ``filename,label`` (64, 16
and 20 classes), and ``images/`` with the files that they name, which cannot be passed on.
"""

from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np

from meta_rl.reading import FileError, file_errors_as, read_bytes, read_rows
from meta_rl.reading.pictures import decode_picture
from meta_rl.tasks.image_classes import ClassSplit, DatasetError, ImageClasses

FILES = ("train.csv", "val.csv", "test.csv")
_COLUMNS = ("filename", "label")
_MAX_TABLE_BYTES = 1 << 26
_MAX_PICTURE_BYTES = 1 << 24
# Twice what the whole data set takes, so that a table cannot ask for more than there may be.
_MAX_SET_BYTES = 1 << 32


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
    files = _read_names(path)
    if not files:
        raise DatasetError(f"{path} names no images")
    images, num_bytes = [], 0
    for image_name in (image_name for names in files.values() for image_name in names):
        images.append(_read_image(folder / "images" / image_name))
        num_bytes += images[-1].nbytes
        if num_bytes > _MAX_SET_BYTES:
            raise DatasetError(f"{path} names images of more than {_MAX_SET_BYTES:,} bytes")
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise DatasetError(f"the images of {path} are of unequal size: {_shown(sizes)}")
    return ImageClasses(
        np.stack(images), np.array([len(names) for names in files.values()]), tuple(files)
    )


def _read_names(path: Path) -> dict[str, list[str]]:
    """The names of the images of each class."""
    files: dict[str, list[str]] = defaultdict(list)
    with file_errors_as(DatasetError):
        rows = read_rows(path, _MAX_TABLE_BYTES)
        _, header = next(rows, (1, []))
        if not set(_COLUMNS) <= set(header):
            raise FileError(f"{path} cannot be read: it should have columns {','.join(_COLUMNS)}")
        name_column, label_column = (header.index(column) for column in _COLUMNS)
        for line, row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise FileError(
                    f"{path}, line {line}: there are {len(row)} columns, not {len(header)}"
                )
            name = PurePosixPath(row[name_column])
            if name.is_absolute() or ".." in name.parts:
                raise FileError(f"{path}, line {line}: {str(name)!r} leads out of images/")
            files[row[label_column]].append(str(name))
    return files


def _read_image(path: Path) -> np.ndarray:
    """uint8 [height, width, 3]."""
    with file_errors_as(DatasetError):
        content = read_bytes(path, _MAX_PICTURE_BYTES)
    try:
        return decode_picture(content, "RGB")
    except ValueError as error:
        raise DatasetError(f"{path} cannot be read as an image: {error}") from None


def _shown(sizes: set[tuple[int, ...]]) -> str:
    return ", ".join(f"{height} x {width}" for height, width, *_ in sorted(sizes))
