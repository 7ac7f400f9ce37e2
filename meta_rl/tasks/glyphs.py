"""Letters, numbers and symbols of the DejaVu fonts that matplotlib ships: needs no download.

A class is a code point that all 12 text faces have; an instance is a face and a small affine
change of it. Code points that look the same (Latin A, Greek Alpha, Cyrillic A) are one class.
Ink is 255 and background 0.
"""

import os
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from meta_rl.reading import FileError
from meta_rl.reading.archives import read_arrays
from meta_rl.tasks.image_classes import ClassSplit, ImageClasses, random_parts, split_by_number

SIZE = 28
VARIANTS_PER_FACE = 2
NUM_VALIDATION, NUM_TEST = 200, 400
# To be raised when the pictures change, so that nobody trains on those of an older version.
_CACHE_VERSION = 1
_MAX_CACHE_BYTES = 1 << 28
# Drawn larger, so that changing and shrinking leaves smooth edges.
_OVERSAMPLING = 4
_FONT_SIZE, _MARGIN = 20, 2
_FACES = tuple(
    f"DejaVu{family}{style}.ttf"
    for family, styles in {
        "Sans": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "SansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "Serif": ("", "-Bold", "-Italic", "-BoldItalic"),
    }.items()
    for style in styles
)


def load_glyphs() -> ClassSplit:
    """Draws the glyphs, or reads those that were drawn before, and splits them at random.

    The pictures are kept in ``$XDG_CACHE_HOME/meta-rl`` (by default ``~/.cache/meta-rl``).
    """
    classes = _read_cache()
    if classes is None:
        classes = draw_glyphs(distinct_code_points(), VARIANTS_PER_FACE)
        _write_cache(classes)
    parts = random_parts(len(classes.names), NUM_VALIDATION, NUM_TEST)
    return split_by_number(classes, parts)


def distinct_code_points() -> list[int]:
    """Letters, numbers and symbols that all faces have, of each shape the first."""
    shared = set.intersection(*(set(FT2Font(_face_file(face)).get_charmap()) for face in _FACES))
    face = _face(_FACES[0])
    first_of_shape: dict[tuple[tuple[int, int], bytes], int] = {}
    for code_point in sorted(shared):
        if unicodedata.category(chr(code_point))[0] in "LNS":
            picture = _draw(code_point, face)
            if picture.getbbox() is not None:
                first_of_shape.setdefault((picture.size, picture.tobytes()), code_point)
    return sorted(first_of_shape.values())


def draw_glyphs(code_points: Sequence[int], variants_per_face: int) -> ImageClasses:
    """Every code point in every face, each with so many affine changes drawn from a fixed seed."""
    faces = [_face(name) for name in _FACES]
    images = np.empty(
        (len(code_points), len(faces), variants_per_face, SIZE, SIZE, 1), dtype=np.uint8
    )
    for class_images, code_point in zip(images, code_points, strict=True):
        rng = np.random.default_rng([_CACHE_VERSION, code_point])
        for face_images, face in zip(class_images, faces, strict=True):
            picture = _centre(_draw(code_point, face))
            for variant in range(variants_per_face):
                face_images[variant, ..., 0] = np.asarray(_change(picture, rng))
    names = tuple(f"U+{code_point:04X}" for code_point in code_points)
    return ImageClasses.from_array(images.reshape(len(names), -1, SIZE, SIZE, 1), names)


def _face_file(name: str) -> str:
    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))


def _face(name: str) -> ImageFont.FreeTypeFont:
    # The basic layout is part of Pillow; the other one needs a library that may be absent.
    return ImageFont.truetype(
        _face_file(name), _FONT_SIZE * _OVERSAMPLING, layout_engine=ImageFont.Layout.BASIC
    )


def _draw(code_point: int, face: ImageFont.FreeTypeFont) -> Image.Image:
    """The glyph, cut to its box."""
    left, top, right, bottom = face.getbbox(chr(code_point))
    picture = Image.new("L", (int(right - left) or 1, int(bottom - top) or 1))
    ImageDraw.Draw(picture).text((-left, -top), chr(code_point), font=face, fill=255)
    return picture


def _centre(picture: Image.Image) -> Image.Image:
    """On a square of the final size times the oversampling; only what is too large shrinks."""
    side, room = SIZE * _OVERSAMPLING, (SIZE - 2 * _MARGIN) * _OVERSAMPLING
    if max(picture.size) > room:
        scale = room / max(picture.size)
        width, height = (max(1, round(length * scale)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    canvas = Image.new("L", (side, side))
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return canvas


def _change(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turns, scales, shears and shifts a little around the centre, then shrinks to the size."""
    angle, log_scale, shear = rng.uniform(-1.0, 1.0, 3) * (0.15, 0.12, 0.15)
    shift = rng.uniform(-2.0, 2.0, 2) * _OVERSAMPLING
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ [[1.0, shear], [0.0, 1.0]]
    matrix *= np.exp(log_scale)
    centre = np.full(2, SIZE * _OVERSAMPLING / 2)
    (a, b), (c, d) = matrix
    x, y = centre - matrix @ (centre + shift)
    changed = picture.transform(
        picture.size, Image.Transform.AFFINE, (a, b, x, c, d, y), Image.Resampling.BILINEAR
    )
    return changed.reduce(_OVERSAMPLING)


def _cache_file() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "meta-rl")
    return folder / f"glyphs-{_CACHE_VERSION}-matplotlib-{matplotlib.__version__}.npz"


def _read_cache() -> ImageClasses | None:
    try:
        images, names = read_arrays(_cache_file(), ("images", "names"), _MAX_CACHE_BYTES)
    except FileError:
        return None  # absent, or spoilt: drawn again
    is_ours = images.ndim == 5 and images.dtype == np.uint8 and names.shape == images.shape[:1]
    return ImageClasses.from_array(images, tuple(map(str, names))) if is_ours else None


def _write_cache(classes: ImageClasses) -> None:
    path = _cache_file()
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    images = classes.images.reshape(len(classes.names), -1, *classes.images.shape[1:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, images=images, names=np.array(classes.names))
        partial.replace(path)
    except OSError:  # a disk that is full or read-only: drawn at each start
        with suppress(OSError):
            partial.unlink()
