"""Films reach wandb when the run is there and is finished, and not otherwise."""

from pathlib import Path

import pytest

from meta_rl.config import load_config
from meta_rl.reporting.wandb_films import send_films
from meta_rl.runs.run_directory import create_run_directory


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "picture.png"):
        (folder / name).write_bytes(name.encode())
    return folder


def run(tmp_path: Path, wandb: str, *, finished: bool) -> Path:
    path = tmp_path / "run"
    config = load_config("smoke", [f"run.wandb={wandb}", f"run.dir={path}"])
    with create_run_directory(config, "run") as directory:
        if finished:
            directory.record_finish()
    return path


def test_films_of_a_finished_run_are_sent_to_it(tmp_path: Path, films: Path):
    path, lines = run(tmp_path, "offline", finished=True), []
    send_films(path, films, lines.append)
    assert lines == []
    sent = path.glob("wandb/offline-run-*/files/media/videos/films/*.mp4")
    assert sorted(file.read_bytes() for file in sent) == [b"a.mp4", b"b.mp4"]


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path, films: Path):
    path, lines = run(tmp_path, "offline", finished=False), []
    send_films(path, films, lines.append)
    assert lines == ["The films are not sent to wandb, because the run is not finished."]
    assert not (path / "wandb").exists()


def test_a_run_without_wandb_has_nothing_to_do_with_it(tmp_path: Path, films: Path):
    path, lines = run(tmp_path, "disabled", finished=True), []
    send_films(path, films, lines.append)
    assert lines == []
    assert not (path / "wandb").exists()
