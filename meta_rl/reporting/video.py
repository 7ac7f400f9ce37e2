"""Frames as an mp4 file, or as a small GIF."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

# Quality 18 of 51 shows no artefacts at edges; the preset trades a few per cent of size for speed.
_H264_OPTIONS: dict[str, object] = {"crf": "18", "preset": "veryfast"}
_MPEG4_BIT_RATE = 4_000_000
# Scale and frames per second, ever smaller; more than ten per second are not shown reliably.
_GIF_SIZES = ((1.0, 10), (0.8, 10), (0.65, 10), (0.65, 7), (0.5, 7), (0.5, 5), (0.4, 5), (0.3, 4))
_GIF_COLOURS = 64


def write_mp4(path: Path, frames: Iterable[np.ndarray], frames_per_second: float) -> None:
    """Writes a film that every browser plays, where ffmpeg has the encoder for it.

    Args:
        path: the file.
        frames: uint8 [height, width, 3], all of one size.
        frames_per_second: how fast they follow each other.

    Raises:
        OSError: it cannot be written.
    """
    import av  # here, so that what makes no films needs no encoder

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(path, "w", format="mp4") as container:
        stream: av.VideoStream | None = None
        for frame in frames:
            even = _evenly_sized(frame)
            stream = stream or _add_stream(container, codec, even.shape, frames_per_second)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        assert stream is not None, "a film has frames"
        container.mux(stream.encode())


def _add_stream(
    container: "OutputContainer", codec: str, shape: tuple[int, ...], frames_per_second: float
) -> "av.VideoStream":
    import av

    rate = Fraction(frames_per_second).limit_denominator(1000)
    stream = container.add_stream(codec, rate=rate)
    assert isinstance(stream, av.VideoStream)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    if codec == "libx264":
        stream.options = _H264_OPTIONS
    else:
        stream.bit_rate = _MPEG4_BIT_RATE
    return stream


def write_gif(
    path: Path, frames: Sequence[np.ndarray], frames_per_second: float, max_bytes: int
) -> None:
    """Writes an endless GIF, as large as the number of bytes allows.

    Args:
        path: the file.
        frames: uint8 [height, width, 3], all of one size.
        frames_per_second: how fast they follow each other.
        max_bytes: smaller and fewer pictures are tried until it fits, or they are at the smallest.

    Raises:
        OSError: it cannot be written.
    """
    bytes_per_size = 0.0
    for scale, rate in _GIF_SIZES:
        stride = max(1, round(frames_per_second / rate))
        size = scale**2 / stride
        if bytes_per_size * size > max_bytes and (scale, rate) != _GIF_SIZES[-1]:
            continue
        images = [_gif_image(frame, scale) for frame in frames[::stride]]
        # The last picture is what there is to see, so it stays for a while.
        durations = [round(1000 * stride / frames_per_second)] * (len(images) - 1) + [1500]
        images[0].save(
            path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True
        )
        if path.stat().st_size <= max_bytes:
            return
        bytes_per_size = path.stat().st_size / size


def _gif_image(frame: np.ndarray, scale: float) -> Image.Image:
    image = Image.fromarray(frame)
    size = (round(image.width * scale), round(image.height * scale))
    image = image.resize(size, Image.Resampling.LANCZOS)
    return image.quantize(_GIF_COLOURS, dither=Image.Dither.NONE)


def _evenly_sized(frame: np.ndarray) -> np.ndarray:
    """The frame with its last row and column repeated where needed: video has half the colours."""
    odd = [(0, size % 2) for size in frame.shape[:2]]
    return np.ascontiguousarray(np.pad(frame, (*odd, (0, 0)), mode="edge"))
