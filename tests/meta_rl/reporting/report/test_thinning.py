"""Curves of any length in a page of less than a megabyte, with all that stands out."""

import json

import numpy as np
import pytest

from meta_rl.evaluation.packaged_runs import PACKAGED_RUNS
from meta_rl.evaluation.saved_model import SavedModel, load_model
from meta_rl.reporting.report.learning_data import learning_data
from meta_rl.reporting.report.page import render_page
from meta_rl.reporting.report.run_record import read_run
from meta_rl.reporting.report.thinning import thinned

NUM_LINES = 100_000
PEAKS = {12_345: (1, 987.25), 54_321: (3, -876.5), 99_998: (0, 765.75)}


def test_short_curves_are_whole():
    assert thinned([np.arange(50.0)], 50).tolist() == list(range(50))
    assert thinned([], 50).tolist() == []
    assert thinned([np.array([])], 50).tolist() == []


def test_ends_and_extremes_stay():
    rng = np.random.default_rng(0)
    curves = [rng.normal(size=30_000), np.full(30_000, np.nan), rng.normal(size=30_000).cumsum()]
    curves[0][777], curves[2][20_001] = 9.0, np.nan
    kept = thinned(curves, 500)
    assert len(kept) <= 500
    assert (np.diff(kept) > 0).all()
    assert {0, 29_999, 777, int(curves[0].argmin())} <= set(kept.tolist())
    assert {int(np.nanargmax(curves[2])), int(np.nanargmin(curves[2]))} <= set(kept.tolist())
    # No stretch is without a point.
    assert np.diff(kept).max() < 2 * 30_000 / ((500 - 2) // 4)


def test_a_curve_without_numbers_costs_nothing():
    assert thinned([np.full(1000, np.nan)], 10).tolist() == [0, 999]


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> SavedModel:
    """A run with a hundred thousand lines of metrics, all of them validated."""
    run = tmp_path_factory.mktemp("long") / "run"
    run.mkdir()
    source = PACKAGED_RUNS / "half_cheetah_vel"
    for name in ("best.json", "config.yaml", "run.json"):
        (run / name).write_bytes((source / name).read_bytes())
    (run / "checkpoints").symlink_to(source / "checkpoints")
    rng = np.random.default_rng(1)
    returns = rng.normal(-60.0, 5.0, size=(NUM_LINES, 4)).round(4)
    for line, (step, value) in PEAKS.items():
        returns[line, step] = value
    spread = rng.uniform(1.0, 5.0, size=(NUM_LINES, 4)).round(4)
    with (run / "metrics.jsonl").open("w") as file:
        for line in range(NUM_LINES):
            named = {"return": returns[line].tolist(), "return_interval": spread[line].tolist()}
            record = {"meta_iteration": line + 1, "env_steps": 96_000 * (line + 1)}
            record |= {f"{t}_{n}": v for t in ("train", "validation") for n, v in named.items()}
            record |= {"kl": float(spread[line, 0]) / 500, "policy_std": float(spread[line, 1])}
            file.write(json.dumps(record) + "\n")
    return load_model(run)


@pytest.mark.parametrize("num_runs", [1, 5])
def test_a_hundred_thousand_lines_fit_into_a_page(long_run: SavedModel, num_runs):
    data = learning_data(read_run(long_run), num_runs)
    page = render_page({"title": "x", "learning": [data] * num_runs})
    # Replays, tasks and settings need the rest of a megabyte: at most 600 kB at this scale.
    assert len(page) < 400_000
    for table in ("training", "validation"):
        curve = data[table]
        assert data["num_recorded"][table] == NUM_LINES
        assert curve["meta_iteration"][0] == 1
        assert curve["meta_iteration"][-1] == NUM_LINES
        assert len(curve["meta_iteration"]) <= 1000
        for line, (step, value) in PEAKS.items():
            at = curve["meta_iteration"].index(line + 1)
            assert curve["mean"][step][at] == value
            assert curve["env_steps"][at] == 96_000 * (line + 1)
    assert {len(values) for values in data["diagnostics"].values()} == {
        len(data["training"]["meta_iteration"])
    }
