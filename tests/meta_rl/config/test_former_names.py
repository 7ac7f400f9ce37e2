"""Settings of earlier versions: files in ``old_runs`` are of trainings before algorithms had names.

They were written at commit 3aca196 by ``meta-rl train PRESET`` with the settings below.
"""

import json
from pathlib import Path

import pytest

from meta_rl.config import ConfigError, config_from_mapping, config_to_yaml, load_config
from meta_rl.evaluation.packaged_runs import PACKAGED_RUNS

OLD_RUNS = Path(__file__).parent / "old_runs"
SMALL = [
    *("run.meta_iterations=1", "evaluation.num_tasks=2"),
    *("run.compile=false", "run.device=cpu"),
]
PRESETS = {
    "smoke": ("smoke", ["run.meta_iterations=1", "run.device=cpu"]),
    "sine_fomaml": ("sine_fomaml", SMALL),
    "sine_reptile": ("sine_reptile", SMALL),
    "glyphs_reptile": ("glyphs_5way_1shot_reptile", SMALL),
}


def without_place(config):
    return config.model_copy(update={"run": config.run.model_copy(update={"dir": None})})


@pytest.mark.parametrize("name", PRESETS)
def test_runs_and_checkpoints_of_earlier_versions_load(name: str, tmp_path: Path):
    preset, overrides = PRESETS[name]
    wanted = load_config(preset, overrides)
    run = load_config(str(OLD_RUNS / name / "config.yaml"))
    values = json.loads((OLD_RUNS / name / "config.json").read_text())
    checkpoint = config_from_mapping(values, "config.json")
    assert without_place(run) == without_place(checkpoint) == wanted
    # And then they are written as present ones.
    (tmp_path / "config.yaml").write_text(config_to_yaml(run))
    assert "method" not in config_to_yaml(run)
    assert load_config(str(tmp_path / "config.yaml")) == run


def test_packaged_runs_load():
    packaged = list(PACKAGED_RUNS.glob("*/config.yaml"))
    assert len(packaged) > 9
    for file in packaged:
        assert load_config(str(file))


def test_command_lines_of_earlier_versions_load():
    overrides = ["meta_update.method=reptile", "meta_update.meta_batch_size=3"]
    config = load_config("sine", [*overrides, "adaptation.optimiser=adam"])
    assert (config.algorithm.name, config.run.meta_batch_size) == ("reptile", 3)
    assert load_config("smoke", ["rollout.meta_batch_size=7"]).run.meta_batch_size == 7
    assert load_config("sine", ["adaptation.optimiser=sgd"]) == load_config("sine")
    assert load_config("sine_reptile", ["adaptation.first_order=false"])


@pytest.mark.parametrize(
    ("preset", "override", "problem"),
    [
        ("sine", "adaptation.optimiser=adam", "is a setting of algorithm.name=reptile ["),
        ("sine", "adaptation.examples_per_step=3", "is a setting of algorithm.name=reptile ["),
        ("sine", "meta_update.gradient_weights=[]", "is a setting of algorithm.name=reptile ["),
        ("sine_reptile", "adaptation.first_order=true", "is a setting of algorithm.name=maml ["),
        ("sine_reptile", "adaptation.first_order=0", "is a setting of algorithm.name=maml ["),
        ("navigation", "meta_update.clip_range=.1", "is a setting of algorithm.name=promp ["),
        # Reinforcement learning never had it, and no algorithm that learns from episodes has.
        ("navigation", "adaptation.optimiser=adam", "is not a setting"),
        ("sine", "adaptation.optimizer=adam", "is not a setting"),
    ],
)
def test_settings_of_another_algorithm(preset: str, override: str, problem: str):
    with pytest.raises(ConfigError) as caught:
        load_config(preset, [override])
    (found,) = caught.value.args
    assert found.startswith(f"{override.partition('=')[0]} {problem}")


def test_both_names_at_once_are_refused(tmp_path: Path):
    file = tmp_path / "both.yaml"
    file.write_text("extend: smoke\nrollout: {meta_batch_size: 5}\nrun: {meta_batch_size: 6}\n")
    with pytest.raises(ConfigError, match=r"rollout\.meta_batch_size is not a setting"):
        load_config(str(file))
