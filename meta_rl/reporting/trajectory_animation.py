"""The figure of paths in the plane, drawn while time goes on."""

from collections.abc import Iterator

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from meta_rl.reporting.trajectory_plot import TrajectoryFigure

FRAMES_PER_SECOND = 15.0


def animation_frames(drawn: TrajectoryFigure, dots_per_inch: float = 100.0) -> Iterator[np.ndarray]:
    """The frames, uint8 [height, width, 3], one for each state of the longest episode.

    All paths grow together. The lines end with their full length.

    Args:
        drawn: the figure; nothing else may be drawn on it at the same time.
        dots_per_inch: size of the frames.
    """
    figure = drawn.figure
    figure.set_dpi(dots_per_inch)
    canvas = FigureCanvasAgg(figure)
    for line, _ in drawn.paths:
        line.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)  # all but the lines: drawn once, not each time
    for t in range(max(len(places) for _, places in drawn.paths)):
        canvas.restore_region(background)
        for line, places in drawn.paths:
            line.set_data(*places[: t + 1].T)
            assert line.axes is not None
            line.axes.draw_artist(line)
        for panel in figure.axes:
            for artist in panel.get_children():
                # The start and the goal belong in front of the paths.
                if artist.get_zorder() >= 4 and not artist.get_animated():
                    panel.draw_artist(artist)
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()
    for line, _ in drawn.paths:
        line.set_animated(False)
