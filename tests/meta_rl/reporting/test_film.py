"""Films, decoded again, and GIFs."""

import resource
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from meta_rl.reporting.film import film_frames, film_rate
from meta_rl.reporting.palette import step_colour
from meta_rl.reporting.task_replays import TaskReplays
from meta_rl.reporting.video import write_gif, write_mp4
from meta_rl.rollouts.replay import Replay, Tracked


def replay(length=12, terminated=False, aim="value", size=(60, 90)):
    """An episode whose picture is of one shade of grey, brighter at each step."""
    frame = np.empty((length + 1, *size, 3), np.uint8)
    frame[:] = (20 + 10 * np.arange(length + 1))[:, None, None, None]
    return Replay(
        task=np.array([1.5]),
        reward=np.full(length, -1.0),
        terminated=terminated,
        exact=True,
        control_step=0.01,
        tracked=Tracked("forward_velocity", "m/s", 1.5, aim),
        tracked_value=np.linspace(0, 2, length),
        frame=frame,
    )


def task(*replays):
    returns = np.array([each.episode_return for each in replays])
    return TaskReplays(np.array([1.5]), "velocity 1.5", returns, 1, tuple((r,) for r in replays))


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate)


def test_a_film_has_a_picture_of_every_state_beside_each_other():
    frames = np.stack(list(film_frames(task(replay(), replay()), "Run-v0", 25.0)))
    assert frames.dtype == np.uint8 and len(frames) == 13 and frames.shape[2] == 2 * 320
    top = 34 + 68 + 100  # inside the pictures, which are 213 pixels high
    for t, frame in enumerate(frames):
        assert (frame[top, [160, 480]] == 20 + 10 * t).all()
    # Each panel's heading and gauge have the colour of its step.
    for step, panel in enumerate((frames[-1][:, :320], frames[-1][:, 320:])):
        colour = [int(step_colour(step)[i : i + 2], 16) for i in (1, 3, 5)]
        assert (panel == colour).all(-1).sum() > 500


def gauge_columns(frame):
    """Of the single panel's gauge: the end of its bar, and the target's mark."""
    row = frame[-15]
    colour = [int(step_colour(0)[i : i + 2], 16) for i in (1, 3, 5)]
    return np.nonzero((row == colour).all(-1))[0], np.nonzero((row == 0).all(-1))[0]


def test_the_gauge_grows_to_its_target():
    ends = []
    for frame in list(film_frames(task(replay(length=41)), "Run-v0", 25.0))[2:]:
        bar, mark = gauge_columns(frame)
        ends.append(bar.max())
    assert np.all(np.diff(ends) >= 0) and ends[-1] > ends[0] + 150
    # The values go evenly from 0 to 2 in 40 steps, so the 30th is at the target.
    assert abs(ends[29] - mark.mean()) < 6


def test_an_episode_that_has_ended_stays_as_it_was():
    frames = list(film_frames(task(replay(4, terminated=True), replay(12)), "Run-v0", 25.0))
    assert len(frames) == 13
    assert (frames[-1][200, 160] == 60).all() and (frames[-1][200, 480] == 140).all()
    # It says so: the left heading changes when the episode ends and not afterwards.
    heading = [frame[34:60, :320] for frame in frames]
    assert (heading[3] != heading[4]).any() and np.array_equal(heading[4], heading[12])


def test_more_than_four_panels_make_rows():
    (frame, *_) = film_frames(task(*[replay(2)] * 5), "Run-v0", 25.0)
    assert frame.shape[:2] == (34 + 2 * (68 + 213 + 30), 4 * 320)


def test_directions_have_no_mark():
    for aim, marks in (("value", True), ("sign", False)):
        frame = list(film_frames(task(replay(aim=aim)), "Run-v0", 25.0))[-1]
        assert (gauge_columns(frame)[1].size > 0) == marks


def test_films_are_in_real_time_or_slower():
    assert film_rate(0.05, None) == pytest.approx(20)
    assert film_rate(0.01, 100) == 25, "slow motion"
    assert film_rate(None, 10) == 10 and film_rate(None, None) == 25


def test_an_mp4_is_what_was_written(tmp_path):
    # Odd sizes, which video cannot have, gain a row and a column.
    frames = np.zeros((7, 51, 81, 3), np.uint8)
    for t in range(7):
        frames[t, :, 10 * t : 10 * t + 10] = (250, 120, 30)
    write_mp4(tmp_path / "a.mp4", iter(frames), 12.5)
    shown, rate = decoded(tmp_path / "a.mp4")
    assert shown.shape == (7, 52, 82, 3) and rate == 12.5
    error = np.abs(shown[:, :51, :81].astype(int) - frames)
    assert np.median(error) < 8 and error.mean() < 12
    moved = np.abs(np.diff(shown.astype(int), axis=0)).mean((1, 2, 3))
    assert (moved > 5).all()


def test_a_film_without_room_on_the_disk_is_an_os_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 80, 120, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError):
            write_mp4(tmp_path / "a.mp4", iter(noise), 10.0)
        with pytest.raises(OSError):
            write_gif(tmp_path / "a.gif", noise, 10.0, 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_gif_fits_its_size(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (30, 80, 120, 3), dtype=np.uint8)
    sizes = []
    for max_bytes in (10_000_000, 60_000):
        write_gif(tmp_path / "a.gif", noise, 15.0, max_bytes)
        assert (tmp_path / "a.gif").stat().st_size <= max_bytes
        with Image.open(tmp_path / "a.gif") as image:
            sizes.append((image.size, image.n_frames, image.info["loop"]))
    assert sizes[0] == ((120, 80), 15, 0)
    assert sizes[1][0][0] < 120 and sizes[1][1] <= 15


def test_a_film_without_a_tracked_quantity_has_no_gauge():
    silent = replace(replay(), tracked=None, tracked_value=None, control_step=None)
    (frame, *_) = film_frames(task(silent), "Mine-v0", 25.0)
    assert frame.shape == (34 + 68 + 213, 320, 3)
