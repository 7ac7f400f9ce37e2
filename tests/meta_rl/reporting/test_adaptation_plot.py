"""The picture of adaptation holds every group, readably, and is the same at every drawing."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb

from meta_rl.config import load_config
from meta_rl.curves.adaptation_curve import return_curve
from meta_rl.evaluation.comparison import EvaluatedModel, ModelGroup
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.reporting.adaptation_plot import adaptation_figure, save_figure

CONFIG = load_config("smoke")


def group(name: str, num_runs: int = 1, num_steps: int = 3, num_tasks: int = 6) -> ModelGroup:
    generator = np.random.default_rng(len(name))
    policies = []
    for _ in range(num_runs):
        episode_return = generator.normal(size=(num_tasks, num_steps + 1, 4)) - 10
        curve = return_curve(np.zeros((num_tasks, 1)), episode_return)
        saved = SavedModel(Path(name), 1, {}, CONFIG)
        policies.append(EvaluatedModel(saved, [0.1] * num_steps, curve, np.ones((4, 6))))
    return ModelGroup(name, name != "runs", tuple(policies))


def test_every_group_is_drawn_with_its_numbers_and_its_own_look():
    groups = [group("runs", num_runs=3), group("random"), group("oracle", num_steps=0)]
    (axes,) = adaptation_figure(groups, "Navigation2D-v0").axes
    assert axes.get_title(loc="left") == "Navigation2D-v0"
    lines = {line.get_label(): line for line in axes.lines}
    mean = np.mean([curve.mean for curve in groups[0].curves], axis=0)
    np.testing.assert_allclose(lines["runs, mean"].get_ydata(), mean)
    assert list(lines["runs, mean"].get_xdata()) == [0, 1, 2, 3]
    np.testing.assert_allclose(lines["random"].get_ydata(), groups[1].curves[0].mean)
    (level,) = groups[2].curves[0].mean
    assert set(lines["oracle"].get_ydata()) == {level}
    assert lines["oracle"].get_linestyle() == "--"
    # Three thin lines for the three runs, one line for each group.
    assert len(axes.lines) == 3 + 3
    colours = [to_rgb(lines[name].get_color()) for name in ("runs, mean", "random", "oracle")]
    lightness = [np.dot(colour, (0.2126, 0.7152, 0.0722)) for colour in colours]
    assert len(set(colours)) == 3
    assert max(lightness) < 0.65, "dark enough on white"
    assert lines["runs, mean"].get_marker() != lines["random"].get_marker()


def test_bands_are_the_intervals():
    one = group("runs")
    (axes,) = adaptation_figure([one], "").axes
    (band,) = axes.collections
    points = band.get_paths()[0].vertices
    curve = one.curves[0]
    for step in range(4):
        at_step = points[points[:, 0] == step, 1]
        expected = [
            curve.mean[step] - curve.interval[step],
            curve.mean[step] + curve.interval[step],
        ]
        np.testing.assert_allclose([at_step.min(), at_step.max()], expected)


def test_files_are_the_same_at_every_drawing(tmp_path: Path):
    groups = [group("runs", num_runs=2), *(group(f"reference {i}", num_tasks=6) for i in range(8))]
    for name in ("a", "b"):
        figure = adaptation_figure(groups, "title")
        for ending in ("png", "svg"):
            save_figure(figure, tmp_path / f"{name}.{ending}")
    for ending in ("png", "svg"):
        same = (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
        assert same, ending
    text = [t.strip() for t in ET.parse(tmp_path / "a.svg").getroot().itertext() if t.strip()]
    for label in ("runs, mean", "reference 7", "title", "mean over 6 tasks, shaded: 95 % interval"):
        assert any(label in t for t in text), label


def test_one_task_has_no_band_and_still_a_curve(tmp_path: Path):
    groups = [group("runs", num_tasks=1), group("oracle", num_steps=0, num_tasks=1)]
    figure = adaptation_figure(groups, "")
    save_figure(figure, tmp_path / "curve.png")
    assert len(figure.axes[0].lines) == 2
    assert len(figure.axes[0].patches) == 0
