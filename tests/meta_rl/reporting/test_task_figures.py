"""Figures of adapted tasks: what is drawn is the data."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from meta_rl.reporting.palette import step_colour
from meta_rl.reporting.task_replays import TaskReplays, task_label
from meta_rl.reporting.time_plot import reward_figure, tracked_figure
from meta_rl.reporting.trajectory_animation import animation_frames
from meta_rl.reporting.trajectory_plot import mean_path, trajectory_figure
from meta_rl.rollouts.replay import Goal, Replay, Tracked

NUM_STEPS = 3


def tasks_of(make_replay, num_tasks=3, num_episodes=5):
    rng = np.random.default_rng(0)
    return [
        TaskReplays(
            task=np.zeros(2),
            label=f"task {m}",
            mean_return=np.array([-40.25 - m, -10.0, 2.0]),
            num_episodes=20,
            replays=tuple(
                tuple(make_replay(rng, m) for _ in range(num_episodes)) for _ in range(NUM_STEPS)
            ),
        )
        for m in range(num_tasks)
    ]


def walk(rng, m):
    length = int(rng.integers(4, 9))
    path = np.concatenate((np.zeros((1, 2)), rng.normal(0, 0.1, (length, 2)).cumsum(0)))
    goal = Goal(np.array([0.1 * m, -0.3]), 0.02)
    return Replay(np.zeros(2), np.zeros(length), False, True, plane_position=path, goal=goal)


def run(rng, m, aim="value", length=30):
    value = rng.normal(1, 0.3, length)
    tracked = Tracked("forward_velocity", "m/s", 0.5 + m if aim == "value" else -1.0, aim)
    return Replay(
        np.zeros(1),
        -np.abs(value),
        False,
        True,
        control_step=0.05,
        tracked=tracked,
        tracked_value=value,
    )


def texts(figure):
    return {text.get_text() for panel in figure.axes for text in panel.texts}


def test_trajectories_are_drawn_as_they_were():
    tasks = tasks_of(walk)
    drawn = trajectory_figure(tasks, "title")
    assert len(drawn.figure.axes) == 3
    for panel, task in zip(drawn.figure.axes, tasks, strict=True):
        assert panel.get_title() == task.label
        assert panel.get_aspect() == 1.0
        lines = [line for line in panel.lines if line.get_marker() == "None"]
        expected = [(k, r.plane_position) for k, step in enumerate(task.replays) for r in step[:4]]
        expected += [(k, mean_path(step)) for k, step in enumerate(task.replays)]
        assert len(lines) == len(expected) == NUM_STEPS * (4 + 1)
        for line, (step, places) in zip(lines, expected, strict=True):
            assert np.array_equal(line.get_xydata(), places)
            assert to_hex(line.get_color()) == step_colour(step)
        (region,) = (patch for patch in panel.patches if isinstance(patch, Rectangle))
        goal = task.replays[0][0].goal
        np.testing.assert_allclose(region.get_xy(), goal.position - 0.02)
        assert region.get_width() == region.get_height() == pytest.approx(0.04)
        left, right = panel.get_xlim()
        assert left < goal.position[0] < right
    assert {"\N{MINUS SIGN}40.2", "\N{MINUS SIGN}41.2", "\N{MINUS SIGN}10.0", "2.0"} <= texts(
        drawn.figure
    )
    limits = {(panel.get_xlim(), panel.get_ylim()) for panel in drawn.figure.axes}
    assert len(limits) == 1, "one scale for all"
    labels = [text.get_text() for text in drawn.figure.legends[0].get_texts()]
    assert labels[:3] == ["before adapting", "after 1 step", "after 2 steps"]


def test_many_steps_have_room_for_their_returns():
    tasks = [
        replace(task, mean_return=np.full(10, -123.4), replays=task.replays[:1] * 10)
        for task in tasks_of(walk, num_tasks=2)
    ]
    figure = trajectory_figure(tasks, "title").figure
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 10
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_mean_path_waits_where_an_episode_has_ended():
    # By hand: the first ends at (2, 0) after one step, the second goes on to (0, 6).
    paths = ([[0, 0], [2, 0]], [[0, 0], [0, 4], [0, 6]])
    replays = [
        Replay(np.zeros(2), np.zeros(1), True, True, plane_position=np.array(p, float))
        for p in paths
    ]
    assert mean_path(replays).tolist() == [[0, 0], [1, 2], [1, 3]]


def test_the_animation_grows_to_the_figure():
    tasks = tasks_of(walk, num_tasks=1)
    drawn = trajectory_figure(tasks, "title")
    frames = np.stack(list(animation_frames(drawn, dots_per_inch=50)))
    longest = max(len(r.reward) for step in tasks[0].replays for r in step)
    assert len(frames) == longest + 1 and frames.dtype == np.uint8
    ink = (frames < 250).any(-1).sum((1, 2))
    assert (
        ink[-1] > ink[0] and (np.abs(np.diff(frames.astype(int), axis=0)).sum((1, 2, 3)) > 0).all()
    )
    for line, places in drawn.paths:
        assert np.array_equal(line.get_xydata(), places)
    # The last picture is the figure itself.
    drawn.figure.canvas.draw()
    figure = np.asarray(drawn.figure.canvas.buffer_rgba())[..., :3]
    assert np.abs(frames[-1].astype(int) - figure).mean() < 2


def test_tracked_values_are_drawn_with_band_and_target():
    tasks = tasks_of(run)
    figure = tracked_figure(tasks, "title")
    assert figure.axes[0].get_ylabel() == "forward velocity (m/s)"
    for panel, task in zip(figure.axes, tasks, strict=True):
        *medians, target = panel.lines
        assert set(target.get_ydata()) == {task.replays[0][0].tracked.target}
        for step, (line, replays) in enumerate(zip(medians, task.replays, strict=True)):
            values = np.stack([replay.tracked_value for replay in replays])
            np.testing.assert_allclose(line.get_xdata(), 0.05 * np.arange(1, 31))
            np.testing.assert_allclose(line.get_ydata(), np.median(values, axis=0))
            assert to_hex(line.get_color()) == step_colour(step)
            band = panel.collections[step].get_paths()[0].vertices[:, 1]
            assert band.min() == pytest.approx(np.percentile(values, 10, axis=0).min())
            assert band.max() == pytest.approx(np.percentile(values, 90, axis=0).max())
    assert "10 to 90 % of 5 episodes" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_a_direction_has_an_arrow_in_place_of_a_target():
    figure = tracked_figure(tasks_of(lambda rng, m: run(rng, m, aim="sign")), "title")
    assert "\N{DOWNWARDS ARROW} wanted" in texts(figure)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "target" not in labels


def test_rewards_are_drawn_for_any_environment_also_of_unequal_lengths():
    tasks = tasks_of(walk)
    figure = reward_figure(tasks, "title")
    for panel, task in zip(figure.axes, tasks, strict=True):
        for line, replays in zip(panel.lines, task.replays, strict=True):
            assert len(line.get_ydata()) == max(len(replay.reward) for replay in replays)
            assert np.isfinite(line.get_ydata()).all()
    assert figure.axes[-1].get_xlabel() == "step"


def test_tasks_are_named_and_rounded():
    class Env:
        task_parameter_names = ("goal_x", "goal_y")

    assert task_label(np.array([-0.3333, 0.5]), Env()) == "goal x \N{MINUS SIGN}0.33, goal y 0.5"
    assert task_label(np.array([1234.5]), object()) == "task 0 1234"


@pytest.mark.parametrize("num_tasks", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("draw", ["paths", "values"])
def test_nothing_overlaps(num_tasks, draw):
    if draw == "paths":
        figure = trajectory_figure(tasks_of(walk, num_tasks), "A title of ordinary length").figure
    else:
        figure = tracked_figure(tasks_of(run, num_tasks), "A title of ordinary length")
    figure.canvas.draw()
    shown = [*figure.legends[0].get_texts(), *figure.findobj(lambda a: a is figure._suptitle)]
    for panel in figure.axes:
        shown += [panel.title, *panel.texts, panel.xaxis.label, panel.yaxis.label]
    boxes = [text.get_window_extent() for text in shown if text.get_text()]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, "inside the figure"
        assert not any(box.overlaps(other) for other in boxes[i + 1 :]), shown[i].get_text()
