"""What the choices of a preset are worth: each is a change, measured on validation tasks alone."""

import json
import sys
from pathlib import Path

import measure_choices as script
import pytest

from meta_rl.config import load_config

TINY = (
    *("run.meta_iterations=2", "rollout.meta_batch_size=2", "rollout.episodes_per_task=3"),
    *("rollout.horizon=5", "rollout.num_threads=1", "evaluation.every=1", "evaluation.num_tasks=2"),
    *("evaluation.episodes_per_task=2", "meta_update.curvature_stride=1"),
)


@pytest.mark.parametrize(
    ("preset", "change"),
    [(preset, change) for preset, study in script.STUDIES.items() for change in study.changes],
)
def test_every_setting_of_a_change_differs_from_the_preset(preset: str, change: str):
    settings = script.STUDIES[preset].settings
    own = load_config(preset, settings)
    for setting in change.split():
        section, key = setting.partition("=")[0].split(".")
        changed = load_config(preset, [*settings, *change.split()])
        assert getattr(getattr(changed, section), key) != getattr(getattr(own, section), key)


def run_script(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    places = ["--runs", str(folder / "runs"), "--results", str(folder / "choices.json")]
    options = ["--presets", "navigation", "--seeds", "1", "--set", *TINY]
    monkeypatch.setattr(sys, "argv", ["measure_choices.py", *options, *places])
    script.main()
    return json.loads((folder / "choices.json").read_text())["runs"]


def test_trainings_are_made_once_and_only_validation_tasks_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    changes = ("policy.activation=relu", "policy.init_std=0.5 policy.min_std=0.1")
    monkeypatch.setitem(script.STUDIES, "navigation", script.Study((), changes))
    runs = run_script(tmp_path, monkeypatch)
    assert [run["change"] for run in runs.values()] == ["", *changes]
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert rows[0].startswith("| **navigation** | 1 | -")
    assert rows[1].startswith('| `policy.activation` relu, not "tanh" | 1 | ')
    assert "`policy.init_std` 0.5, not 1.0; `policy.min_std` 0.1, not 0.3 | 1" in rows[2]

    folder = tmp_path / "runs" / "navigation-policy.activation=relu-seed1"
    before = (folder / "run.json").read_bytes()
    evaluation = (folder / "evaluation.csv").read_text().splitlines(keepends=True)
    (folder / "evaluation.csv").write_text(
        "".join(row for row in evaluation if ",test," not in row)
    )
    assert run_script(tmp_path, monkeypatch) == runs
    assert (folder / "run.json").read_bytes() == before


def test_differences_are_taken_seed_by_seed(tmp_path: Path):
    def result(change: str, seed: int, *validation: list[float]) -> dict:
        learning = {"validation_return": list(validation)}
        return {"preset": "navigation", "change": change, "seed": seed, "learning": learning}

    change = "policy.activation=relu"
    for run in (
        result("", 1, [-40, -10, -3, -2], [-40, -11, -4, -3]),
        result("", 2, [-40, -20, -9, -9], [-40, -12, -6, -5]),
        result(change, 1, [-40, -10, -3, -1], [-40, -12, -5, -4]),
        result(change, 2, [-40, -15, -9, -9], [-40, -15, -9, -7]),
        {"preset": "navigation", "change": change, "seed": 3, "stopped": "a loss is not finite"},
    ):
        script.write_result(tmp_path / "choices.json", run)
    base, row = script.table(tmp_path / "choices.json").splitlines()[2:]
    assert base == "| **navigation** | 2 | -11.5 | -5.00 | -4.00 | -11.0 | -4.50 | -3.50 |"
    # Last: -12 + 11 and -15 + 12; best: the first iteration of seed 1 either time, the last of 2.
    assert row == (
        '| `policy.activation` relu, not "tanh" | 2, 1 stopped '
        "| -2.0 [-3.0, -1.0] | -2.00 [-3.00, -1.00] | -1.50 [-2.00, -1.00] "
        "| -1.5 [-3.0, +0.0] | -1.50 [-3.00, +0.00] | -0.50 [-2.00, +1.00] |"
    )
