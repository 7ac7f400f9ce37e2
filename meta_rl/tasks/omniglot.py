"""Omniglot (Lake et al. 2015): 1,623 characters, drawn by 20 people each.

Two layouts are read: a folder with the official ``images_background.zip`` and
``images_evaluation.zip``, and one ``.npz`` file with arrays ``ink_bits`` (uint8 [class, drawer,
98], 28 x 28 bits packed in rows, 1 = ink), ``alphabets`` (names), ``alphabet`` and ``character``
(per class: index of its alphabet, and its number there from 1). Either way ink is 255 and
background 0, as in MAML's code, and 105 x 105 pixels become 28 x 28 by nearest neighbour.
"""

import hashlib
import random
import re
import urllib.request
from collections import defaultdict
from pathlib import Path

import numpy as np

from meta_rl.reading import FileError, file_errors_as
from meta_rl.reading.archives import Archive, read_arrays
from meta_rl.reading.pictures import decode_picture
from meta_rl.tasks.image_classes import (
    ClassSplit,
    DatasetError,
    ImageClasses,
    random_parts,
    split_by_number,
)

SIZE = 28
URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
# MD5, as torchvision has them.
ARCHIVES = {
    "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
}
_ENTRY = re.compile(r"(?:.*/)?([^/]+)/character([0-9]{1,9})/[^/]*\.png")
_TIMEOUT_S = 60
_MAX_DRAWING_BYTES = 1 << 16
_MAX_ARRAY_BYTES = 1 << 28

# Vinyals et al. 2016 split by alphabet, but for one that both sides share.
_VALIDATION_ALPHABETS = frozenset(
    {"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"}
)
_TEST_ALPHABETS = frozenset(
    {
        *("Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Oriya", "Sylheti"),
        *("Old_Church_Slavonic_(Cyrillic)", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"),
    }
)
_CUT_ALPHABET, _FIRST_CUT_CHARACTER = "Gurmukhi", 42
_REPTILE_TRAINING, _REPTILE_VALIDATION = 1200, 100
_MAML_VALIDATION, _MAML_TEST = 100, 423


def load_omniglot(path: Path | None, *, split: str, download: bool) -> ClassSplit:
    """Reads the characters and splits them.

    Args:
        path: folder of the two official archives, or an ``.npz`` file; None is a user's mistake.
        split: ``vinyals`` (1,028 / 172 / 423, whole alphabets but for one); ``reptile`` (what
            Reptile's code draws with its seed 0, where the last 100 of its 1,200 training
            characters validate here); ``maml`` (1,100 / 100 / 423 at random).
        download: whether archives that are missing in the folder are fetched first.

    Raises:
        DatasetError: the data is missing, damaged, of another layout, or overlaps.
    """
    if download and path is not None:
        download_archives(path)
    if path is None or not path.exists():
        problem = "few_shot.path is not set" if path is None else f"there is no Omniglot at {path}"
        raise DatasetError(
            f"{problem}: it should be a folder with the official {' and '.join(ARCHIVES)} from "
            f"{URL} (few_shot.download=true fetches them into it), or an .npz file"
        )
    classes = _read_archives(path) if path.is_dir() else _read_npz(path)
    return split_by_number(classes, split_parts(classes.names, split))


def split_parts(names: tuple[str, ...], split: str) -> np.ndarray:
    """0 train, 1 validation or 2 test for each character, named ``Alphabet/characterNN``."""
    if split == "maml":
        return random_parts(len(names), _MAML_VALIDATION, _MAML_TEST)
    if split == "vinyals":
        return np.array([_vinyals_part(name) for name in names])
    assert split == "reptile"
    shuffled = sorted(names)
    random.Random(0).shuffle(shuffled)
    rank = {name: index for index, name in enumerate(shuffled)}
    limits = [_REPTILE_TRAINING - _REPTILE_VALIDATION, _REPTILE_TRAINING]
    return np.searchsorted(limits, [rank[name] for name in names], side="right")


def download_archives(folder: Path) -> None:
    """Fetches the official archives that the folder lacks, and checks what it got.

    Raises:
        DatasetError: an archive cannot be had, or is not the official one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, checksum in ARCHIVES.items():
        if (folder / name).exists():
            continue
        try:
            with urllib.request.urlopen(URL + name, timeout=_TIMEOUT_S) as response:
                content = response.read()
        except OSError as error:
            raise DatasetError(f"{URL}{name} cannot be downloaded: {error}") from None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
            raise DatasetError(f"what {URL}{name} holds is not the official archive")
        partial = folder / f".{name}.part"
        partial.write_bytes(content)
        partial.replace(folder / name)


def shrink(ink: np.ndarray) -> np.ndarray:
    """[..., H, W] -> [..., 28, 28] by nearest neighbour, as Pillow does it for 1-bit images."""
    rows, columns = (
        np.floor((np.arange(SIZE) + 0.5) * size / SIZE).astype(np.int64) for size in ink.shape[-2:]
    )
    return ink[..., rows[:, None], columns]


def _vinyals_part(name: str) -> int:
    alphabet, _, character = name.partition("/character")
    if alphabet in _VALIDATION_ALPHABETS:
        return 1
    is_cut = alphabet == _CUT_ALPHABET and int(character) >= _FIRST_CUT_CHARACTER
    return 2 if is_cut or alphabet in _TEST_ALPHABETS else 0


def _read_npz(path: Path) -> ImageClasses:
    keys = ("ink_bits", "alphabets", "alphabet", "character")
    try:
        bits, alphabets, alphabet, character = read_arrays(path, keys, _MAX_ARRAY_BYTES)
        if alphabets.ndim != 1 or alphabets.dtype.kind != "U" or alphabet.min(initial=0) < 0:
            raise ValueError("types")
        num_classes, num_drawers, num_bytes = bits.shape
        if num_bytes * 8 != SIZE * SIZE or not len(alphabet) == len(character) == num_classes:
            raise ValueError("shapes")
        ink = np.unpackbits(bits, axis=-1).reshape(num_classes, num_drawers, SIZE, SIZE, 1) * 255
        names = tuple(
            f"{alphabets[a]}/character{c:02d}" for a, c in zip(alphabet, character, strict=True)
        )
    except (ValueError, TypeError, IndexError) as error:
        reason = f" ({error})" if isinstance(error, FileError) else ""
        raise DatasetError(
            f"{path} is damaged or is no Omniglot file{reason}: an .npz should hold "
            f"{', '.join(keys)} with {SIZE} x {SIZE} images"
        ) from None
    return ImageClasses.from_array(ink.astype(np.uint8), names)


def _read_archives(folder: Path) -> ImageClasses:
    drawings: dict[str, list[np.ndarray]] = defaultdict(list)
    for name in ARCHIVES:
        archive_path = folder / name
        if not archive_path.exists():
            raise DatasetError(
                f"{folder} lacks {name}; it can be had from {URL}{name} "
                "(few_shot.download=true fetches it)"
            )
        with file_errors_as(DatasetError):
            archive = Archive(archive_path)
            for entry in archive.names:
                if match := _ENTRY.fullmatch(entry):
                    content = archive.read(entry, _MAX_DRAWING_BYTES)
                    ink = _read_drawing(content, f"{archive_path}:{entry}")
                    drawings[f"{match[1]}/character{match[2]}"].append(ink)
        if not drawings:
            raise DatasetError(
                f"{archive_path} is no Omniglot archive: it has no Alphabet/characterNN/*.png"
            )
    names = tuple(sorted(drawings))
    return ImageClasses(
        np.concatenate([np.stack(drawings[name]) for name in names]),
        np.array([len(drawings[name]) for name in names]),
        names,
    )


def _read_drawing(content: bytes, where: str) -> np.ndarray:
    """uint8 [28, 28, 1], 255 where there is ink (black in the file)."""
    try:
        paper = decode_picture(content, "1")
    except ValueError as error:
        raise DatasetError(f"{where} is not an image: {error}") from None
    if paper.shape != (105, 105):
        height, width = paper.shape
        raise DatasetError(f"{where} has {height} x {width} pixels, not 105 x 105")
    return np.where(shrink(paper), 0, 255).astype(np.uint8)[..., None]
