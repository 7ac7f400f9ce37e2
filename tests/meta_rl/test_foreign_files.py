"""Every file of a run and of a data set, damaged in many ways, ends in one sentence or is read."""

import io
import json
import os
import shutil
import socket
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from meta_rl.config import Config, ConfigError, load_config
from meta_rl.evaluation.held_out_tasks import TaskSelectionError, read_tasks
from meta_rl.evaluation.saved_model import load_model
from meta_rl.launch.index import SweepError, create_sweep, read_sweep
from meta_rl.launch.plan import make_plan
from meta_rl.launch.progress import describe
from meta_rl.launch.run_status import read_status
from meta_rl.launch.scheduler import WatchedRun
from meta_rl.launch.slurm import _read_job_ids
from meta_rl.ops.adam import initial_moments
from meta_rl.ops.params import ravel
from meta_rl.reading import FileError, SentenceError, read_json
from meta_rl.reading.pictures import decode_picture
from meta_rl.reporting.report.learning_data import learning_data
from meta_rl.reporting.report.run_record import read_run
from meta_rl.reporting.report.settings_data import run_data
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.best_checkpoint import CheckpointError, read_best
from meta_rl.runs.checkpoint import find_checkpoints, fitting_params, load_checkpoint
from meta_rl.runs.evaluation_table import (
    EvaluationTable,
    EvaluationTableError,
    read_test_curves,
    read_test_scores,
)
from meta_rl.runs.line_file import LineFileError
from meta_rl.runs.metrics_file import MetricsFile
from meta_rl.runs.run_directory import (
    RunDirectoryError,
    is_finished,
    open_run_directory,
)
from meta_rl.runs.sinks.wandb_sink import _run_id
from meta_rl.runs.trainer_state import TrainerState, restore
from meta_rl.tasks.image_classes import DatasetError
from meta_rl.tasks.mini_imagenet import load_mini_imagenet
from meta_rl.tasks.omniglot import load_omniglot
from meta_rl.training.jobs import start_run
from meta_rl.types import AlgorithmState

NUM_EXAMPLES = int(os.environ.get("META_RL_FUZZ_EXAMPLES", "25"))
fuzz = settings(max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

RL = ("smoke", "run.meta_iterations=2", "run.checkpoint_every=1", "evaluation.num_tasks=2")
SINE = (
    *("sine_reptile", "run.meta_iterations=2", "run.log_every=1", "evaluation.every=1"),
    *("evaluation.num_tasks=2", "evaluation.num_adaptation_steps=1", "run.compile=false"),
)
FILES = (
    *("config.yaml", "run.json", "best.json", "metrics.jsonl", "evaluation.csv"),
    *("wandb_run_id.txt", "model.safetensors", "config.json", "trainer.pt"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each kind, and a copy of each to be damaged."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (preset, *overrides) in {"rl": RL, "sine": SINE}.items():
        places = [f"run.dir={folder / name}", "run.device=cpu"]
        with single_torch_thread():
            start_run(load_config(preset, [*overrides, *places]), name, Console(quiet=True))
        (folder / name / "wandb_run_id.txt").write_text("0123abcd\n")
    return {name: folder / name for name in ("rl", "sine")}


def place_of(run: Path, file: str) -> Path:
    """Where a file is; those of a checkpoint in the best one."""
    return run / file if (run / file).exists() else find_checkpoints(run)[-1] / file


@contextmanager
def damaged(run: Path, file: str, content: bytes) -> Iterator[Path]:
    """A copy of the run with another content of one file."""
    copy = run.with_name(f"{run.name}-damaged")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    place_of(copy, file).write_bytes(content)
    yield copy


def readers(run: Path) -> dict[str, Callable[[], object]]:
    """What the commands read of a run."""

    def resume() -> None:
        checkpoint = load_checkpoint(run)
        learns_from_episodes = isinstance(checkpoint.config, Config)
        memory = {} if learns_from_episodes else initial_moments(ravel(checkpoint.params))._asdict()
        initial = TrainerState(AlgorithmState(checkpoint.params, memory))
        restore(checkpoint, initial, torch.device("cpu"))
        fitting_params(run, checkpoint.params, {"a": torch.zeros(1)})

    def report() -> None:
        record = read_run(load_model(run))
        json.dumps([run_data(record), learning_data(record)], allow_nan=False)

    def go_on() -> None:
        with open_run_directory(run) as directory:
            directory.record_finish()
        MetricsFile(run / "metrics.jsonl", 1).close()
        EvaluationTable(
            run / "evaluation.csv", ["goal_x", "goal_y"], ["episode", "episode_return"], 1
        ).close()

    return {
        "settings": lambda: load_config(str(run / "config.yaml")),
        "best": lambda: read_best(run),
        "policy": lambda: load_model(run),
        "resume": resume,
        "curves": lambda: read_test_curves(run / "evaluation.csv"),
        "scores": lambda: read_test_scores(run / "evaluation.csv"),
        "status": lambda: describe(WatchedRun(run, 3, "running", read_status(run))),
        "finished": lambda: is_finished(run),
        "report": report,
        "wandb": lambda: _run_id(run),
        "go on": go_on,
    }


EXPECTED = (
    *(CheckpointError, ConfigError, DatasetError, EvaluationTableError, FileError, LineFileError),
    *(RunDirectoryError, SweepError, TaskSelectionError),
)


def sentence_or_nothing(read: Callable[[], object]) -> str:
    """The sentence that reading ends with, or ""; anything else is raised."""
    try:
        read()
    except EXPECTED as error:
        for text in error.args if isinstance(error, ConfigError) else [str(error)]:
            assert text.strip() and text.isprintable(), text
            assert len(text) < 3000
        return str(error)
    return ""


def read_all(run: Path) -> None:
    for read in readers(run).values():
        sentence_or_nothing(read)


@pytest.mark.parametrize("name", ["rl", "sine"])
def test_a_sound_run_is_read(made, name: str):
    file = "run.json"
    with damaged(made[name], file, (made[name] / file).read_bytes()) as run:  # a copy, undamaged
        sentences = {reader: sentence_or_nothing(read) for reader, read in readers(run).items()}
    refused = {reader for reader, sentence in sentences.items() if sentence}
    # Its curves are read as those of reinforcement learning.
    assert refused == ({"resume", "curves"} if name == "sine" else {"resume"}), sentences
    assert "is of another " in sentences["resume"]


# Values that are of the wrong type, too large, or not quite JSON.
STRANGE = (
    *("null", "true", "[]", "{}", '"x"', '""', "-1", "0", "1.5", "1e999", "-1e999", "NaN"),
    *("Infinity", str(2**63), "9" * 5000, '"\\u001b[2J\\n\\u2028"', '"\\ud800"', '"\\u0661"'),
    *("[" * 60 + "]" * 60, '{"a": {"b": [1]}}', '[[1], "x", null]', '["x"]', "[[[]]]", "1e308"),
)
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4
)


def edited(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for position, num_dropped, inserted in changes:
        start = round(position * len(content))
        content = content[:start] + inserted + content[start + num_dropped :]
    return content


def swapped(value: Any, choose: Callable[[int], int], new: Any) -> Any:
    """A copy of plain values with one of them, at any depth, replaced."""
    if not isinstance(value, dict | list) or not value or choose(4) == 0:
        return new
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[choose(len(keys))]
    pairs = [(k, swapped(value[k], choose, new) if k == key else value[k]) for k in keys]
    return dict(pairs) if isinstance(value, dict) else [entry for _, entry in pairs]


MARK = "a strange value"


def swapped_file(content: bytes, file: str, choose: Callable[[int], int], new: str) -> bytes:
    """The file with one of its values replaced by a text of JSON."""
    if file.endswith(("json", "jsonl")):
        *before, line = content.decode().splitlines() if file.endswith("l") else [content.decode()]
        changed = json.dumps(swapped(json.loads(line), choose, MARK)).replace(f'"{MARK}"', new)
        return "\n".join([*before, changed, ""]).encode()
    if file.endswith("yaml"):
        import yaml

        changed = json.dumps(swapped(yaml.safe_load(content), choose, MARK))
        return changed.replace(f'"{MARK}"', new).encode()
    if file.endswith("csv"):
        rows = [line.split(",") for line in content.decode().splitlines()]
        row = rows[-1 - choose(min(8, len(rows)))]
        row[choose(len(row))] = new[:100].strip('"')
        return "\n".join(",".join(row) for row in [*rows, []]).encode()
    if file.endswith("safetensors"):
        size = int.from_bytes(content[:8], "little")
        header = json.dumps(swapped(json.loads(content[8 : 8 + size]), choose, MARK))
        header = header.replace(f'"{MARK}"', new)
        return len(header).to_bytes(8, "little") + header.encode() + content[8 + size :]
    if file.endswith("pt"):
        values = torch.load(io.BytesIO(content), weights_only=True)
        try:
            value = json.loads(new)
        except ValueError:
            value = torch.full((2,), 1 + 1j)
        saved = io.BytesIO()
        torch.save(swapped(values, choose, value), saved)
        return saved.getvalue()
    return new.encode()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("file", FILES)
def test_any_damage_of_a_file_of_a_run(made, file: str):
    @fuzz
    @given(
        name=st.sampled_from(["rl", "sine"]),
        how=st.sampled_from(["swap", "swap", "edit", "cut", "random"]),
        changes=edits,
        new=st.sampled_from(STRANGE),
        data=st.data(),
    )
    def damage_and_read(name, how, changes, new, data) -> None:
        content = place_of(made[name], file).read_bytes()
        if how == "swap":
            content = swapped_file(
                content, file, lambda number: data.draw(st.integers(0, number - 1)), new
            )
        elif how == "edit":
            content = edited(content, changes)
        elif how == "cut":
            content = content[: round(changes[0][0] * len(content))]
        else:
            content = data.draw(st.binary(max_size=60))
        with damaged(made[name], file, content) as run:
            read_all(run)

    damage_and_read()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)  # it takes no room on the disk


IMPOSTORS: dict[str, Callable[[Path], object]] = {
    "pipe": make_pipe,
    "folder": lambda path: path.mkdir(),
    "socket": make_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path),
    "dangling": lambda path: path.symlink_to(path.with_name("nowhere")),
    "huge": make_huge,
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "mark": lambda path: path.write_bytes(b"\xef\xbb\xbf"),
    "utf-16": lambda path: path.write_bytes("{}".encode("utf-16")),
    "returns": lambda path: path.write_bytes(b"a\rb\rc\n" * 9),
}


@pytest.mark.parametrize("impostor", IMPOSTORS)
@pytest.mark.parametrize("file", [*FILES, ".lock"])
def test_what_is_no_file_is_not_waited_for(made, file: str, impostor: str):
    with damaged(made["rl"], "run.json", (made["rl"] / "run.json").read_bytes()) as run:
        path = place_of(run, file) if file != ".lock" else run / file
        path.unlink(missing_ok=True)
        IMPOSTORS[impostor](path)
        read_all(run)
        # Nothing was written through a link.
        assert not (path.parent / "nowhere").exists()


def test_no_link_in_a_run_leads_to_what_is_written(made, tmp_path: Path):
    precious = tmp_path / "precious"
    for name in (".lock", "metrics.jsonl", "evaluation.csv", "run.json", ".run.json.tmp"):
        precious.write_text("mine")
        with damaged(made["rl"], "run.json", (made["rl"] / "run.json").read_bytes()) as run:
            (run / name).unlink(missing_ok=True)
            (run / name).symlink_to(precious)
            read_all(run)
        assert precious.read_text() == "mine", name


@pytest.mark.parametrize(
    ("file", "content", "reader", "message"),
    [
        (
            "best.json",
            b'{"meta_iteration": 1e400, "score": NaN}',
            "best",
            "'1e400' is not a finite",
        ),
        ("best.json", b'{"meta_iteration": 1, "score": NaN}', "policy", "NaN is not a finite"),
        ("best.json", b'{"meta_iteration": true, "score": 1}', "best", "does not name a check"),
        ("best.json", b'{"meta_iteration": 1.0, "score": 1}', "best", "does not name a check"),
        ("run.json", b"[1]", "go on", "should hold a JSON object"),
        ("evaluation.csv", b"meta_iteration\rsplit\r\n", "curves", "line 1"),
        ("config.json", b"[1]", "policy", "is truncated"),
        ("wandb_run_id.txt", b"../../x", "wandb", "does not hold the id of a run"),
    ],
)
def test_the_sentence_says_what_is_wrong(made, file, content, reader, message):
    with damaged(made["rl"], file, content) as run:
        assert message in sentence_or_nothing(readers(run)[reader])


def test_a_table_of_bare_returns_is_written_anew_when_a_run_goes_on(made):
    with damaged(made["rl"], "evaluation.csv", b"\x00\r\xff,\r1,\n" * 30) as run:
        assert sentence_or_nothing(readers(run)["go on"]) == ""
        assert (run / "evaluation.csv").read_text().count("\n") == 1


def test_a_resume_of_a_run_json_of_another_type(made):
    config = load_config(str(made["rl"] / "config.yaml"))
    for content in (b"[1]", b'{"resumed": 3}', b'{"resumed": {"a": 1}}', b"\xff", b"1e999"):
        with damaged(made["rl"], "run.json", content) as run, open_run_directory(run) as directory:
            sentence = sentence_or_nothing(lambda: directory.record_resume(config))
        assert "run.json cannot be updated" in sentence


def test_a_table_cannot_ask_for_more_memory_than_it_has_rows(made):
    lines = (made["rl"] / "evaluation.csv").read_text().splitlines()
    row = next(line for line in lines if line.startswith("0,test,1,"))
    huge = row.replace(",test,1,", ",test,900000000000,")
    text = "\n".join([*lines, huge, ""])
    for reader in ("curves", "scores"):
        with damaged(made["rl"], "evaluation.csv", text.encode()) as run:
            assert "does not have a row for each" in sentence_or_nothing(readers(run)[reader])


def test_a_packed_trainer_state_is_not_unpacked(made):
    source = place_of(made["rl"], "trainer.pt").read_bytes()
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(source)) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/data/0", bytes(1 << 24))
    with damaged(made["rl"], "trainer.pt", packed.getvalue()) as run:
        assert "trainer.pt is truncated" in sentence_or_nothing(
            lambda: load_checkpoint(find_checkpoints(run)[-1])
        )


def test_digits_are_those_of_ascii(made, tmp_path: Path):
    digits = "\N{ARABIC-INDIC DIGIT ONE}" * 6
    (tmp_path / "checkpoints" / f"iteration_{digits}").mkdir(parents=True)
    (tmp_path / "checkpoints" / ("iteration_" + "9" * 30)).mkdir()
    assert find_checkpoints(tmp_path) == []
    for number in ("\N{ARABIC-INDIC DIGIT ONE}", "1_0", "0x1", "nan", "1e999", "\N{DIGIT ONE}\0"):
        (tmp_path / "tasks.csv").write_text(f"goal\n{number}\n")
        with pytest.raises(TaskSelectionError, match="is not a finite number"):
            read_tasks(tmp_path / "tasks.csv", ["goal"])


@fuzz
@given(
    content=st.binary(max_size=60)
    | edits.map(lambda changes: edited(b"goal_x,goal_y\n0.1,0.2\n-1,3\n", changes))
)
def test_any_file_of_tasks(tmp_path_factory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "tasks.csv"
    path.write_bytes(content)
    sentence_or_nothing(lambda: read_tasks(path, ["goal_x", "goal_y"]))


@fuzz
@given(changes=edits, new=st.sampled_from(STRANGE), data=st.data(), swap=st.booleans())
def test_any_index_of_a_sweep(tmp_path_factory, changes, new, data, swap):
    path = tmp_path_factory.getbasetemp() / "a sweep"
    shutil.rmtree(path, ignore_errors=True)
    create_sweep(path, make_plan("smoke", ["run.seed=1..2"]))
    (path / "slurm").mkdir()
    (path / "slurm" / "jobs.json").write_text('{"seed1": "12_0", "seed2": "12_1"}')
    for file, read in (
        (path / "sweep.json", read_sweep),
        (path / "slurm" / "jobs.json", _read_job_ids),
    ):
        content = file.read_bytes()
        choose = lambda number: data.draw(st.integers(0, number - 1))  # noqa: E731
        file.write_bytes(
            swapped_file(content, "json", choose, new) if swap else edited(content, changes)
        )
        sentence_or_nothing(lambda: read(path))  # noqa: B023


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/a", "a\\u0000", "\\u0661", "-a b"])
def test_a_run_of_a_sweep_stays_in_its_folder(tmp_path: Path, name: str):
    (tmp_path / "sweep.json").write_text(f'{{"runs": {{"{name}": {{}}}}}}')
    with pytest.raises(SweepError, match="is damaged"):
        read_sweep(tmp_path)


def png(size: int = 105) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(size).random((size, size)) < 0.1).save(file, "PNG")
    return file.getvalue()


def omniglot(folder: Path) -> dict[str, bytes]:
    """Writes the two archives and an ``.npz``; returns what is in the files."""
    for name, character in (("background", "Greek/character01"), ("evaluation", "ULOG/character1")):
        with zipfile.ZipFile(folder / f"images_{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"images_{name}/{character}/1.png", png())
            archive.writestr(f"images_{name}/{character}/2.png", png())
    np.savez_compressed(
        folder / "o.npz",
        ink_bits=np.zeros((2, 2, 98), np.uint8),
        alphabets=np.array(["Greek", "ULOG"]),
        alphabet=np.array([0, 1], np.uint8),
        character=np.array([1, 1], np.uint8),
    )
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def mini_imagenet(folder: Path) -> None:
    (folder / "images").mkdir()
    for part in ("train", "val", "test"):
        Image.new("RGB", (8, 8), (1, 7, 9)).save(folder / "images" / f"{part}.png")
        (folder / f"{part}.csv").write_text(f"filename,label\n{part}.png,{part}\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", ["images_background.zip", "images_evaluation.zip", "o.npz"])
def test_any_damage_of_omniglot(tmp_path: Path, file: str):
    content = omniglot(tmp_path)[file]
    source = tmp_path / file if file.endswith("npz") else tmp_path

    @fuzz
    @given(changes=edits, cut=st.booleans())
    def damage_and_read(changes, cut) -> None:
        end = round(changes[0][0] * len(content)) if cut else len(content)
        (tmp_path / file).write_bytes(edited(content[:end], changes[1:] if cut else changes))
        sentence_or_nothing(lambda: load_omniglot(source, split="vinyals", download=False))

    damage_and_read()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", ["train.csv", "images/val.png"])
def test_any_damage_of_mini_imagenet(tmp_path: Path, file: str):
    mini_imagenet(tmp_path)
    content = (tmp_path / file).read_bytes()

    @fuzz
    @given(changes=edits)
    def damage_and_read(changes) -> None:
        (tmp_path / file).write_bytes(edited(content, changes))
        sentence_or_nothing(lambda: load_mini_imagenet(tmp_path))

    damage_and_read()


@pytest.mark.parametrize("impostor", IMPOSTORS)
def test_no_file_of_a_data_set_is_waited_for(tmp_path: Path, impostor: str):
    (tmp_path / "o").mkdir()
    (tmp_path / "m").mkdir()
    omniglot(tmp_path / "o")
    mini_imagenet(tmp_path / "m")
    for path, load in (
        (tmp_path / "m" / "images" / "val.png", lambda: load_mini_imagenet(tmp_path / "m")),
        (tmp_path / "m" / "train.csv", lambda: load_mini_imagenet(tmp_path / "m")),
        (tmp_path / "o" / "o.npz", lambda: omniglot_of(tmp_path / "o" / "o.npz")),
        (tmp_path / "o" / "images_background.zip", lambda: omniglot_of(tmp_path / "o")),
    ):
        path.unlink()
        IMPOSTORS[impostor](path)
        with pytest.raises(DatasetError) as caught:
            load()
        assert path.name in str(caught.value)


def omniglot_of(path: Path) -> object:
    return load_omniglot(path, split="vinyals", download=False)


def png_that_claims(side: int) -> bytes:
    """A small file whose header says how large the picture is."""
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + png()[24:29]
    return png()[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png()[33:]


def test_bombs_of_pictures_and_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("meta_rl.tasks.omniglot._MAX_ARRAY_BYTES", 1 << 16)
    for side in (1025, 20_000, 1 << 30):
        with pytest.raises(ValueError, match=r"exceeds limit of|pixels, more than"):
            decode_picture(png_that_claims(side), "RGB")
    with pytest.raises(ValueError, match="cannot identify"):
        decode_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "RGB")
    contents = omniglot(tmp_path)
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/Greek/character01/1.png", bytes(1 << 20))
    with pytest.raises(DatasetError, match="more than 65,536 bytes in a/Greek"):
        omniglot_of(tmp_path)
    encrypted = bytearray(contents["images_background.zip"])
    start = encrypted.index(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[start + 8] |= 1
    (tmp_path / "images_background.zip").write_bytes(bytes(encrypted))
    with pytest.raises(DatasetError, match=r"images_background\.zip is encrypted"):
        omniglot_of(tmp_path)
    np.savez_compressed(tmp_path / "o.npz", ink_bits=np.zeros(1 << 20, np.uint8), alphabets=0)
    with pytest.raises(DatasetError, match="lacks the array alphabet"):
        omniglot_of(tmp_path / "o.npz")
    np.savez_compressed(
        tmp_path / "o.npz",
        ink_bits=np.zeros(1 << 20, np.uint8),
        **{name: np.zeros(1) for name in ("alphabets", "alphabet", "character")},
    )
    with pytest.raises(DatasetError, match="more than 65,536 bytes in ink_bits"):
        omniglot_of(tmp_path / "o.npz")
    objects = {"alphabets": np.array([{}]), "alphabet": [0], "character": [0], "ink_bits": [0]}
    np.savez(tmp_path / "o.npz", **objects)
    with pytest.raises(DatasetError, match="Object arrays cannot be loaded"):
        omniglot_of(tmp_path / "o.npz")


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "a/../../x.png"])
def test_a_table_of_pictures_stays_in_its_folder(tmp_path: Path, name: str):
    mini_imagenet(tmp_path)
    (tmp_path / "train.csv").write_text(f"filename,label\n{name},train\n")
    with pytest.raises(DatasetError, match=r"line 2: .* leads out of images/"):
        load_mini_imagenet(tmp_path)


def test_a_sentence_stays_one_line():
    text = "a\nb\x1b[2J\u2028\ud800"
    assert str(SentenceError(text)) == "a\\nb\\x1b[2J\\u2028\\ud800"
    assert len(str(SentenceError("x" * 10**6))) < 2100


@pytest.mark.parametrize(
    "text",
    ["1", "[]", '"x"', "{", "[" * 100_000, '{"a": 1e999}', '{"a": NaN}', '{"a": 1' + "0" * 30],
)
def test_what_is_no_object_of_json(tmp_path: Path, text: str):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FileError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
