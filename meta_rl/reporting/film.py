"""A film of one task: the policy before adapting and after each step, side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from meta_rl.reporting.numbers import format_number
from meta_rl.reporting.palette import step_colour, step_label
from meta_rl.reporting.task_replays import TaskReplays
from meta_rl.rollouts.replay import Replay, Tracked

_WIDTH = 320  # of a panel's picture, pixels; larger and smaller ones are scaled
_MAX_COLUMNS = 4
_TITLE_HEIGHT = 34
_HEADER_HEIGHT = 68
_GAUGE_HEIGHT = 30
_MARGIN = 10
_TEXT = "#1a1a1a"
_MAX_FRAMES_PER_SECOND = 25.0


def film_rate(control_step: float | None, render_fps: float | None) -> float:
    """Frames per second of a film with one frame per step: real time, or slow motion.

    Args:
        control_step: seconds of simulated time per step, if known.
        render_fps: what the environment itself says, if anything.
    """
    real_time = 1.0 / control_step if control_step else (render_fps or _MAX_FRAMES_PER_SECOND)
    return min(real_time, _MAX_FRAMES_PER_SECOND)


def film_frames(task: TaskReplays, env_id: str, frames_per_second: float) -> Iterator[np.ndarray]:
    """The frames, uint8 [height, width, 3], one for each state of the longest episode.

    Args:
        task: of whose replays, the first at each adaptation step is shown; it has a ``frame``.
        env_id: for the title.
        frames_per_second: from ``film_rate``, for the title.
    """
    replays = [step[0] for step in task.replays]
    panels = [_Panel(step, replay, replays) for step, replay in enumerate(replays)]
    num_columns = min(len(panels), _MAX_COLUMNS)
    num_rows = -(-len(panels) // num_columns)
    panel_height = max(panel.height for panel in panels)
    size = (num_columns * _WIDTH, _TITLE_HEIGHT + num_rows * panel_height)
    title_font = _font(16)
    for t in range(max(len(replay.reward) for replay in replays) + 1):
        image = Image.new("RGB", size, "white")
        clock = _clock(t, replays[0].control_step, frames_per_second)
        title = f"{env_id}:  {task.label}    {clock}"
        ImageDraw.Draw(image).text((_MARGIN, 8), title, fill=_TEXT, font=title_font)
        for index, panel in enumerate(panels):
            row, column = divmod(index, num_columns)
            corner = (column * _WIDTH, _TITLE_HEIGHT + row * panel_height)
            image.paste(panel.image(t), corner)
        yield np.asarray(image)


class _Panel:
    """One adaptation step's part of the picture."""

    def __init__(self, step: int, replay: Replay, all_replays: Sequence[Replay]) -> None:
        assert replay.frame is not None
        self._colour = step_colour(step)
        self._label = step_label(step)
        self._replay = replay
        self._frame = replay.frame
        self._return_so_far = np.concatenate(([0.0], np.cumsum(replay.reward)))
        self._picture_height = round(_WIDTH * replay.frame.shape[1] / replay.frame.shape[2])
        self._gauge_range = _gauge_range(all_replays)
        self._large, self._small = _font(16), _font(13)

    @property
    def height(self) -> int:
        """Pixels."""
        gauge_height = _GAUGE_HEIGHT if self._replay.tracked else 0
        return _HEADER_HEIGHT + self._picture_height + gauge_height

    def image(self, t: int) -> Image.Image:
        """The panel after t steps, or after the last one."""
        num_steps = len(self._replay.reward)
        shown = min(t, num_steps)
        image = Image.new("RGB", (_WIDTH, self.height), "white")
        draw = ImageDraw.Draw(image)
        ended = "  (ended)" if t > num_steps or (t == num_steps and self._replay.terminated) else ""
        draw.text((_MARGIN, 2), self._label + ended, fill=self._colour, font=self._large)
        so_far, total = (format_number(self._return_so_far[i]) for i in (shown, -1))
        draw.text((_MARGIN, 25), f"return {so_far} of {total}", fill=_TEXT, font=self._small)
        tracked, values = self._replay.tracked, self._replay.tracked_value
        if tracked is not None and values is not None:
            # Of the step that led here; before the first, there is none.
            value = float(values[shown - 1]) if shown else None
            text = _tracked_text(tracked, value)
            draw.text((_MARGIN, 45), text, fill=_TEXT, font=self._small)
            self._draw_gauge(draw, tracked, value)
        picture = Image.fromarray(self._frame[shown])
        if picture.width != _WIDTH:
            picture = picture.resize((_WIDTH, self._picture_height), Image.Resampling.BILINEAR)
        image.paste(picture, (0, _HEADER_HEIGHT))
        draw.line([(_WIDTH - 1, 0), (_WIDTH - 1, self.height)], fill="white", width=2)
        return image

    def _draw_gauge(self, draw: ImageDraw.ImageDraw, tracked: Tracked, value: float | None) -> None:
        """A bar from zero to the value, and a mark at the target."""
        low, high = self._gauge_range
        top = self.height - _GAUGE_HEIGHT

        def column(quantity: float) -> float:
            share = (min(max(quantity, low), high) - low) / (high - low)
            return _MARGIN + share * (_WIDTH - 2 * _MARGIN)

        draw.line([(column(low), top + 15), (column(high), top + 15)], fill="#c8c8c8", width=2)
        if value is not None and np.isfinite(value):
            left, right = sorted((column(0.0), column(value)))
            draw.rectangle([left, top + 10, right, top + 20], fill=self._colour)
        draw.line([(column(0.0), top + 8), (column(0.0), top + 22)], fill="#808080", width=1)
        if tracked.aim == "value":
            target = column(tracked.target)
            draw.line([(target, top + 5), (target, top + 25)], fill="black", width=3)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of our figures; Pillow's own has no minus sign."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)


def _gauge_range(replays: Sequence[Replay]) -> tuple[float, float]:
    """What all gauges of a film show: zero, the target and nearly all values."""
    values = [replay.tracked_value for replay in replays if replay.tracked_value is not None]
    tracked = replays[0].tracked
    if not values or tracked is None:
        return 0.0, 1.0
    low, high = np.nanpercentile(np.concatenate(values), (1, 99))
    shown = [0.0, float(low), float(high), *([tracked.target] if tracked.aim == "value" else [])]
    margin = 0.05 * (max(shown) - min(shown)) or 1.0
    return min(shown) - margin, max(shown) + margin


def _tracked_text(tracked: Tracked, value: float | None) -> str:
    name = tracked.name.replace("_", " ")
    current = "" if value is None else f" {format_number(value, 2)}"
    if tracked.aim == "sign":
        wanted = "wanted: positive" if tracked.target > 0 else "wanted: negative"
        return f"{name}{current} {tracked.unit}, {wanted}"
    return f"{name}{current}, target {format_number(tracked.target, 2)} {tracked.unit}"


def _clock(t: int, control_step: float | None, frames_per_second: float) -> str:
    """The time, and how fast the film goes if not as fast as the simulated time."""
    if control_step is None:
        return f"step {t}"
    speed = frames_per_second * control_step
    slow = "" if abs(speed - 1) < 0.01 else f"    ({speed:.2g}x real time)"
    return f"{t * control_step:.2f} s{slow}"
