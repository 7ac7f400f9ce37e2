#!/usr/bin/env python
"""Makes the pictures of the pages from two finished runs, with ``meta-rl visualize``.

    .venv/bin/python scripts/make_pictures.py pretrained/navigation pretrained/half_cheetah_vel

They go to scripts/results/pictures/, with the commits and iterations that they show in
sources.json.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from meta_rl.evaluation.packaged_runs import find_run

PICTURES = Path(__file__).parent / "results" / "pictures"
GOALS = "-0.35,0.3;0.4,0.2;0.1,-0.4"
VELOCITIES = "0.3;1;1.7"
FILMED_VELOCITY = 3  # the last of them
MAX_FIGURE_BYTES = 200_000


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("navigation", type=Path, help="a run of 2D navigation")
    parser.add_argument("half_cheetah", type=Path, help="a run of a half-cheetah with velocities")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        goals, velocities = Path(folder, "goals"), Path(folder, "velocities")
        visualize(arguments.navigation, "--tasks", GOALS, "--out", goals, "--no-video")
        visualize(arguments.half_cheetah, "--tasks", VELOCITIES, "--out", velocities, "--gif")
        PICTURES.mkdir(parents=True, exist_ok=True)
        copy_figure(goals / "trajectories.png")
        copy_figure(velocities / "forward_velocity.png")
        film = velocities / f"task-{FILMED_VELOCITY}.gif"
        (PICTURES / "half_cheetah.gif").write_bytes(film.read_bytes())
    sources = {
        "navigation": {"tasks": GOALS, **source(arguments.navigation)},
        "half_cheetah": {"tasks": VELOCITIES, **source(arguments.half_cheetah)},
    }
    (PICTURES / "sources.json").write_text(json.dumps(sources, indent=2) + "\n")


def visualize(run: Path, *options: Any) -> None:
    """Runs the command as a user would."""
    from meta_rl.cli import app

    app(["visualize", str(run), *map(str, options)], standalone_mode=False)


def copy_figure(figure: Path) -> None:
    """Copies a PNG with as many colours as fit its size, which is far more than it has in lines."""
    with Image.open(figure) as image:
        picture = image.convert("RGB")
    for num_colours in (256, 128, 64, 32):
        few = picture.quantize(num_colours, dither=Image.Dither.NONE)
        few.save(PICTURES / figure.name, optimize=True)
        if (PICTURES / figure.name).stat().st_size <= MAX_FIGURE_BYTES:
            return
    sys.exit(f"Error: {figure.name} does not fit {MAX_FIGURE_BYTES} bytes")


def source(run: Path) -> dict[str, Any]:
    """What a run is known by."""
    run = find_run(run)
    facts = json.loads((run / "run.json").read_text())
    best = json.loads((run / "best.json").read_text())
    known = {key: facts[key] for key in ("name", "seed", "git", "versions", "hardware")}
    return {**known, "meta_iteration": best["meta_iteration"]}


if __name__ == "__main__":
    main()
