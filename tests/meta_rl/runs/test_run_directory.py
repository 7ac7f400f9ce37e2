"""Run directories: never overwritten, written by one process, and a record of how they came."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import mujoco
import numpy
import pytest
import torch

import meta_rl
from meta_rl.config import Config, config_from_mapping, load_config
from meta_rl.runs import provenance
from meta_rl.runs.run_directory import (
    RunDirectoryError,
    create_run_directory,
    is_finished,
    open_run_directory,
)


def config_with(**run) -> Config:
    return config_from_mapping({"env": {"id": "A-v0"}, "run": run}, "test")


def test_a_new_run_directory_says_what_the_run_is(tmp_path: Path):
    config = config_with(dir=str(tmp_path / "deep" / "run"), seed=7)
    with create_run_directory(config, "name") as run:
        assert run.path == tmp_path / "deep" / "run"
        facts = json.loads((run.path / "run.json").read_text())
    assert facts["name"] == "name"
    assert facts["seed"] == 7
    for library in (torch, gymnasium, mujoco, numpy):
        assert facts["versions"][library.__name__] == library.__version__
    assert facts["versions"]["meta_rl"] == meta_rl.__version__
    assert facts["versions"].keys() == {
        *("python", "meta_rl", "torch", "gymnasium", "mujoco", "numpy")
    }
    assert facts["hardware"].keys() == {"cpu", "num_cpus", "gpu"}
    assert facts["command_line"] == sys.argv
    assert "start_time" in facts


def test_training_on_the_written_settings_repeats_the_run_elsewhere(tmp_path: Path):
    config = config_with(dir=str(tmp_path / "run"), seed=7)
    with create_run_directory(config, "name") as run:
        written = load_config(str(run.config_file))
    assert written == config_with(seed=7)


def test_runs_without_a_directory_get_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with (
        create_run_directory(config_with(seed=3), "navigation") as first,
        create_run_directory(config_with(seed=3), "navigation") as second,
    ):
        assert first.path != second.path
        for run in (first, second):
            assert run.path.parent == Path("runs")
            assert run.path.name.startswith("navigation-seed3-2")


def test_a_run_is_finished_from_its_end_until_it_goes_on(tmp_path: Path):
    config = config_with(dir=str(tmp_path / "run"))
    with create_run_directory(config, "name") as run:
        assert not is_finished(run.path)
        run.record_finish()
        assert is_finished(run.path)
        run.record_resume(config)
        assert not is_finished(run.path)
    assert not is_finished(tmp_path)


def test_an_existing_directory_is_not_touched(tmp_path: Path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(RunDirectoryError, match="exists and is not overwritten"):
        create_run_directory(config_with(dir=str(tmp_path)), "name")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", ["/proc/run", "file/run", "a\0b"])
def test_a_directory_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a folder")
    with pytest.raises(RunDirectoryError, match="cannot be made"):
        create_run_directory(config_with(dir=path), "name")


def test_a_disk_that_is_full_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def disk_full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meta_rl.runs.run_directory.write_text_atomically", disk_full)
    with pytest.raises(RunDirectoryError, match="cannot be written: No space left"):
        create_run_directory(config_with(dir=str(tmp_path / "run")), "name")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_the_directory_is_made_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config_with(dir=str(tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        patch.setattr(Path, "rename", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            create_run_directory(config, "name")
    assert not (tmp_path / "run").exists()
    create_run_directory(config, "name").close()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_directory_that_is_gone_or_another_ones_is_noticed(tmp_path: Path):
    path = tmp_path / "run"
    with create_run_directory(config_with(dir=str(path)), "name") as run:
        run.check_is_ours()
        shutil.rmtree(path)
        with pytest.raises(RunDirectoryError, match="deleted, moved or replaced"):
            run.check_is_ours()
        with create_run_directory(config_with(dir=str(path)), "name") as other:
            other.check_is_ours()
            with pytest.raises(RunDirectoryError, match="deleted, moved or replaced"):
                run.check_is_ours()


def test_one_process_writes_at_a_time(tmp_path: Path):
    path = tmp_path / "run"
    with create_run_directory(config_with(dir=str(path)), "name"):
        code = (
            "import sys, pathlib\n"
            "from meta_rl.runs.run_directory import RunDirectoryError\n"
            "from meta_rl.runs.run_directory import open_run_directory\n"
            "try: open_run_directory(pathlib.Path(sys.argv[1]))\n"
            "except RunDirectoryError as error: print(error)\n"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        assert other.stdout == f"{path} is being written by process {os.getpid()}\n"
    with open_run_directory(path) as run:
        assert run.path == path


def test_a_folder_that_is_no_run_directory(tmp_path: Path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RunDirectoryError, match="is not a run directory"):
            open_run_directory(path)


def test_a_resume_is_recorded(tmp_path: Path):
    path = tmp_path / "run"
    with create_run_directory(config_with(dir=str(path), meta_iterations=2), "name"):
        start = json.loads((path / "run.json").read_text())
    with open_run_directory(path) as run:
        run.record_resume(config_with(meta_iterations=4))
        run.record_resume(config_with(meta_iterations=6))
    facts = json.loads((path / "run.json").read_text())
    resumed = facts.pop("resumed")
    assert facts == start
    assert [entry["versions"] for entry in resumed] == [start["versions"]] * 2
    assert load_config(str(path / "config.yaml")).run.meta_iterations == 6


def test_a_resume_of_a_damaged_record_is_one_sentence(tmp_path: Path):
    path = tmp_path / "run"
    with create_run_directory(config_with(dir=str(path)), "name") as run:
        (path / "run.json").write_text("{")
        with pytest.raises(RunDirectoryError, match="cannot be updated"):
            run.record_resume(config_with())


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    assert provenance._git_state(package) is None
    git(tmp_path, "init", "-q")
    assert provenance._git_state(package) is None, "in a checkout, but not part of it"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance._git_state(package) == {"commit": commit, "dirty": False}
    (package / "__init__.py").write_text("x = 2\n")
    assert provenance._git_state(package) == {"commit": commit, "dirty": True}


MAKE_RUNS = """
import datetime
import sys

from meta_rl.config import config_from_mapping
from meta_rl.runs import run_directory


class Noon:
    @staticmethod
    def now(*zone):
        return datetime.datetime(2030, 1, 1, 12)


run_directory.datetime = Noon
config = config_from_mapping({"env": {"id": "A-v0"}}, "test")
run_directory.describe_process()  # imports what is slow
print("ready", flush=True)
sys.stdin.readline()
for _ in range(8):
    with run_directory.create_run_directory(config, "name") as run:
        print(run.path, flush=True)
"""


def test_processes_that_start_in_the_same_second_get_the_next_names(tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(Path(meta_rl.__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_RUNS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    made = [line for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    stem = "runs/name-seed0-20300101-120000"
    assert sorted(made) == sorted([stem, *(f"{stem}-{number}" for number in range(2, 33))])
    assert {f"runs/{path.name}" for path in (tmp_path / "runs").iterdir()} == set(made)
    assert all((tmp_path / path / "run.json").is_file() for path in made)
