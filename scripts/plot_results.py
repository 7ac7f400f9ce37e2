#!/usr/bin/env python
"""Draws the return over the environment steps of training, from scripts/results/adaptation/*.json.

    .venv/bin/python scripts/plot_results.py

A panel per environment, a line per seed: the return on validation tasks after three adaptation
steps, the oracle's without any. What falls below where the lines begin is cut off. Goes to
scripts/results/pictures/learning.png.
"""

import argparse
import io
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from reproduce_maml_rl import METHODS, PAPER, PRESETS, RESULTS, SHOWN_STEP, read_results

PICTURE = Path(__file__).parent / "results" / "pictures" / "learning.png"
MAX_BYTES = 200_000
# Okabe and Ito's, which any colour vision tells apart.
COLOURS = {
    "maml": "#0072b2",
    "first_order": "#cc8800",
    "promp": "#56b4e9",
    "pretrained": "#00805d",
    "random": "#7d858f",
    "oracle": "#b85f93",
}


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=PICTURE, metavar="FILE")
    arguments = parser.parse_args()
    presets = drawn_presets(arguments.results)
    if not presets:
        sys.exit(f"Error: there is no training to draw in {arguments.results}")
    picture = smallest_png(learning_figure(arguments.results, presets))
    if len(picture) > MAX_BYTES:
        sys.exit(f"Error: the picture does not fit {MAX_BYTES} bytes")
    arguments.out.write_bytes(picture)


def drawn_presets(results: Path) -> list[str]:
    """Environments with a training."""
    return [preset for preset in PRESETS if learning_curves(results, preset)]


def learning_curves(results: Path, preset: str) -> dict[str, list[tuple[list[float], list[float]]]]:
    """(env steps, return) of each seed, by the methods of which there is a training."""
    curves = {}
    for method in METHODS:
        runs = read_results(results / f"{preset}-{method}.json").values()
        learning = [run["learning"] for run in runs if "learning" in run]
        if learning:
            curves[method] = [
                (curve["env_steps"], [returns[-1] for returns in curve["validation_return"]])
                for curve in learning
            ]
    return curves


def learning_figure(results: Path, presets: list[str]) -> Figure:
    """One panel per environment."""
    figure = Figure(figsize=(2.9 * len(presets), 3.0), layout="constrained")
    panels = figure.subplots(1, len(presets), squeeze=False)[0]
    for panel, preset in zip(panels, presets, strict=True):
        draw_panel(panel, preset, learning_curves(results, preset))
    panels[0].set_ylabel(f"return after {SHOWN_STEP} steps")
    drawn = {method for preset in presets for method in learning_curves(results, preset)}
    handles = [
        Line2D([], [], color=COLOURS[method], label=method) for method in METHODS if method in drawn
    ]
    handles.append(
        Line2D([], [], color="black", linestyle=":", label="the paper's MAML, at its end")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def draw_panel(
    panel: Axes, preset: str, curves: dict[str, list[tuple[list[float], list[float]]]]
) -> None:
    """Lines of all seeds, and the level that the paper's MAML reached."""
    for method, seeds in curves.items():
        for env_steps, returns in seeds:
            millions = [steps / 1e6 for steps in env_steps]
            panel.plot(millions, returns, color=COLOURS[method], linewidth=1.1, alpha=0.8)
    # A seed that unlearns to adapt would leave the others no room.
    first = [returns[0] for seeds in curves.values() for _, returns in seeds]
    panel.set_ylim(bottom=1.05 * min(first) if min(first) < 0.0 else None)
    if preset in PAPER:
        level = float(PAPER[preset]["maml"][SHOWN_STEP].partition(" ")[0])
        panel.axhline(level, color="black", linestyle=":", linewidth=1)
    panel.set_title(preset, fontsize=9)
    panel.set_xlabel("million env steps")
    panel.spines[["top", "right"]].set_visible(False)


def smallest_png(figure: Figure) -> bytes:
    """Few colours, which lines have anyway."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    with Image.open(drawn) as image:
        few = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        few.save(small, format="png", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    main()
