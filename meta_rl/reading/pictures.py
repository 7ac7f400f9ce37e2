"""Pictures, of which a few bytes may stand for gigabytes."""

import io
import warnings
from typing import Literal

import numpy as np
from PIL import Image

MAX_PIXELS = 1 << 20
"""Most pixels of a picture: 1,024 x 1,024."""
# Of Pillow's formats, some start other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def decode_picture(content: bytes, mode: Literal["1", "RGB"]) -> np.ndarray:
    """Decodes a picture.

    Args:
        content: the file.
        mode: ``1`` for black and white, ``RGB`` for colours.

    Returns:
        Bool [height, width] or uint8 [height, width, 3].

    Raises:
        ValueError: it is no picture, is damaged or has more than ``MAX_PIXELS``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, and about the size, which is next
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
                    )
                return np.asarray(image.convert(mode))
    except ValueError:
        raise
    except Exception as error:  # damaged bytes make Pillow raise all kinds
        raise ValueError(str(error) or type(error).__name__) from None
