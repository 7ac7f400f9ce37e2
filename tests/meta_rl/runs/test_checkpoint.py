"""Checkpoints: exact, atomic, pruned, and refused in one sentence when they are not sound."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from meta_rl.config import config_from_mapping
from meta_rl.runs import checkpoint as checkpoint_module
from meta_rl.runs.best_checkpoint import BestCheckpoint, CheckpointError, read_best, repair_best
from meta_rl.runs.checkpoint import find_checkpoints, load_checkpoint, save_checkpoint

CONFIG = config_from_mapping(
    {"env": {"id": "A-v0", "options": {"x": [1]}}, "run": {"keep_checkpoints": 2}}, "test"
)
WEIGHT = torch.arange(6.0).reshape(2, 3) / 7
# Tied and transposed: safetensors by itself refuses shared and non-contiguous memory.
PARAMS = {
    "weight": WEIGHT,
    "tied": WEIGHT,
    "transposed": WEIGHT.T,
    "log_std": torch.zeros(2, dtype=torch.float64),
}
STATE = {"env_steps": 12, "best_score": -3.5, "moments": torch.ones(3), "names": ["a", "b"]}


def save(run_dir: Path, meta_iteration: int, best: BestCheckpoint | None = None) -> Path:
    return save_checkpoint(run_dir, meta_iteration, PARAMS, CONFIG, STATE, best)


def kept(run_dir: Path) -> list[str]:
    return [path.name for path in find_checkpoints(run_dir)]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("was_run"),)


def test_what_is_saved_is_loaded(tmp_path: Path):
    path = save(tmp_path, 500)
    assert path == tmp_path / "checkpoints" / "iteration_000500"
    assert {file.name for file in path.iterdir()} == {
        "model.safetensors",
        "config.json",
        "trainer.pt",
    }
    for loaded in (load_checkpoint(path), load_checkpoint(tmp_path, expected_params=PARAMS)):
        assert loaded.path == path
        assert loaded.meta_iteration == 500
        assert loaded.config == CONFIG
        assert loaded.warnings == ()
        assert loaded.params.keys() == PARAMS.keys()
        for name, param in PARAMS.items():
            torch.testing.assert_close(loaded.params[name], param, rtol=0, atol=0)
        assert torch.equal(loaded.trainer_state.pop("moments"), STATE["moments"])
        assert loaded.trainer_state == {name: STATE[name] for name in STATE if name != "moments"}


def test_the_last_ones_and_the_best_one_are_kept(tmp_path: Path):
    for meta_iteration in (1, 2, 3, 4):
        save(tmp_path, meta_iteration, BestCheckpoint(1, -2.0))
    assert kept(tmp_path) == ["iteration_000001", "iteration_000003", "iteration_000004"]
    for meta_iteration in (5, 6):
        save(tmp_path, meta_iteration, BestCheckpoint(4, -1.0))
    assert kept(tmp_path) == ["iteration_000004", "iteration_000005", "iteration_000006"]


def test_after_a_resume_the_abandoned_future_is_removed_and_the_new_present_kept(tmp_path: Path):
    save(tmp_path, 40)
    save(tmp_path, 60)
    save(tmp_path, 50)
    assert kept(tmp_path) == ["iteration_000040", "iteration_000050"]


def test_checkpoints_are_ordered_by_number_past_six_digits(tmp_path: Path):
    save(tmp_path, 999_999)
    save(tmp_path, 1_000_000)
    assert load_checkpoint(tmp_path).meta_iteration == 1_000_000


def test_a_checkpoint_can_be_written_again(tmp_path: Path):
    truncate(save(tmp_path, 1) / "model.safetensors")
    path = save(tmp_path, 1)
    assert load_checkpoint(path).meta_iteration == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_crash_while_writing_leaves_the_others_and_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save(tmp_path, 1)

    def power_cut(path: Path, content: bytes) -> None:
        path.write_bytes(content[:10])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "write_durably", power_cut)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2)
    assert load_checkpoint(tmp_path).meta_iteration == 1
    save(tmp_path, 2)
    names = sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir())
    assert names == ["iteration_000001", "iteration_000002"]


def test_a_full_disk_is_one_sentence_and_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save(tmp_path, 1)

    def disk_full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "write_durably", disk_full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        save(tmp_path, 2)
    assert kept(tmp_path) == ["iteration_000001"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "trainer.pt"])
def test_a_truncated_checkpoint_is_passed_over_and_this_is_said(tmp_path: Path, name: str):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    truncate(newest / name)
    loaded = load_checkpoint(tmp_path)
    assert loaded.meta_iteration == 1
    (warning,) = loaded.warnings
    assert str(newest / name) in warning
    assert "truncated" in warning
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(newest)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "trainer.pt"])
def test_a_checkpoint_that_lacks_a_file(tmp_path: Path, name: str):
    path = save(tmp_path, 1)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: No such file"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"none of the 1 checkpoints .*No such file"):
        load_checkpoint(tmp_path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("by_torch", [True, False])
def test_pickled_code_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_torch: bool):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 1)
    if by_torch:
        torch.save({"x": Malicious()}, path / "trainer.pt")
    else:
        (path / "trainer.pt").write_bytes(pickle.dumps({"x": Malicious()}))
    with pytest.raises(CheckpointError, match="not trusted"):
        load_checkpoint(path)
    assert not Path("was_run").exists()


def test_a_checkpoint_with_numbers_that_are_not_finite_is_damaged(tmp_path: Path):
    save(tmp_path, 1)
    poisoned = PARAMS | {"log_std": torch.tensor([0.0, torch.nan], dtype=torch.float64)}
    newest = save_checkpoint(tmp_path, 2, poisoned, CONFIG, STATE)
    with pytest.raises(CheckpointError, match="not finite: those of log_std"):
        load_checkpoint(newest)
    assert load_checkpoint(tmp_path).meta_iteration == 1


def test_there_is_no_checkpoint(tmp_path: Path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="there is no checkpoint in"):
            load_checkpoint(path)


def test_a_folder_of_another_name(tmp_path: Path):
    path = save(tmp_path, 1)
    shutil.copytree(path, tmp_path / "copy")
    with pytest.raises(CheckpointError, match="not called iteration_NUMBER"):
        load_checkpoint(tmp_path / "copy")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            PARAMS | {"weight": torch.zeros(4, 3)},
            r"its weight has shape \(4, 3\), where \(2, 3\) belongs",
        ),
        (PARAMS | {"extra": torch.zeros(1)}, r"its extra has shape \(1,\), where none belongs"),
        ({"weight": WEIGHT}, r"its log_std has shape none, where \(2,\) belongs"),
    ],
)
def test_the_checkpoint_of_another_model(tmp_path: Path, params, message: str):
    save_checkpoint(tmp_path, 1, params, CONFIG, STATE)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path, expected_params=PARAMS)


def test_a_checkpoint_with_settings_of_another_program(tmp_path: Path):
    path = save(tmp_path, 1)
    (path / "config.json").write_text(json.dumps({"fast_lr": 1}))
    with pytest.raises(CheckpointError, match="fast_lr is not a setting"):
        load_checkpoint(path)


def test_a_foreign_safetensors_file_is_seen(tmp_path: Path):
    path = save(tmp_path, 1)
    save_file({"other": torch.zeros(1)}, path / "model.safetensors")
    with pytest.raises(CheckpointError, match="of another model"):
        load_checkpoint(path, expected_params=PARAMS)


def test_best(tmp_path: Path):
    assert read_best(tmp_path) is None
    save(tmp_path, 20, BestCheckpoint(20, -0.1))
    assert json.loads((tmp_path / "best.json").read_text()) == {
        "meta_iteration": 20,
        "score": -0.1,
    }
    assert read_best(tmp_path) == BestCheckpoint(20, -0.1)


def test_the_best_checkpoint_is_never_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save(tmp_path, 1, BestCheckpoint(1, -2.0))

    def power_cut(run_dir: Path, best: BestCheckpoint) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint_module, "write_best", power_cut)
        save(tmp_path, 2, BestCheckpoint(2, -1.0))
    assert read_best(tmp_path) == BestCheckpoint(1, -2.0)
    assert kept(tmp_path) == ["iteration_000001", "iteration_000002"]
    repair_best(tmp_path, BestCheckpoint(2, -1.0))
    assert read_best(tmp_path) == BestCheckpoint(2, -1.0)
    repair_best(tmp_path, BestCheckpoint(3, -0.5))
    assert read_best(tmp_path) == BestCheckpoint(2, -1.0)


def test_a_checkpoint_that_is_removed_never_shows_without_some_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for meta_iteration in (1, 2):
        save(tmp_path, meta_iteration)

    def power_cut(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", power_cut)
        save(tmp_path, 3)
    assert kept(tmp_path) == ["iteration_000002", "iteration_000003"]
    save(tmp_path, 4)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"meta_iteration": 3}', '{"score": null}'])
def test_a_damaged_best_file(tmp_path: Path, text: str):
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not name a checkpoint"):
        read_best(tmp_path)
