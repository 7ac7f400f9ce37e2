"""wandb: used when it works, passed over in one line when it does not."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from meta_rl.config import config_from_mapping
from meta_rl.training.wandb_sink import WandbSink


class FakeRun:
    def __init__(self):
        self.logged, self.finished, self.log_error = [], False, None
        self.url: str | None = None

    def log(self, record, step):
        if self.log_error:
            raise self.log_error
        self.logged.append((step, record))

    def finish(self):
        self.finished = True


class FakeWandb(types.ModuleType):
    """Stands for the module; ``broken`` holds the modes in which it cannot start."""

    def __init__(self, broken=()):
        super().__init__("wandb")
        self.broken, self.run, self.starts = broken, FakeRun(), []
        self.ids_in_use = set()

    def Settings(self, **values):  # noqa: N802, its name in wandb
        return values

    def init(self, **arguments):
        self.starts.append(arguments)
        if arguments["id"] in self.ids_in_use:
            raise RuntimeError("run ID is in use")
        if arguments["mode"] in self.broken:
            self.ids_in_use.add(arguments["id"])  # as the real one does when a start times out
            raise RuntimeError("no such host\nand more lines")
        return self.run

    def teardown(self):
        self.ids_in_use.clear()


def config_with(mode: str):
    return config_from_mapping({"env": {"id": "A-v0"}, "run": {"wandb": mode}}, "test")


@pytest.fixture
def make_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lines: list[str] = []

    def make(wandb: FakeWandb | None, mode: str) -> tuple[WandbSink, list[str]]:
        monkeypatch.setitem(sys.modules, "wandb", wandb)  # None makes the import fail
        return WandbSink(tmp_path, config_with(mode), lines.append), lines

    return make


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_records_are_sent(make_sink, tmp_path: Path, mode: str):
    wandb = FakeWandb()
    sink, lines = make_sink(wandb, mode)
    sink.write({"meta_iteration": 3, "kl": 0.01})
    sink.close()
    (start,) = wandb.starts
    assert start["mode"] == mode
    assert start["project"] == "meta-rl"
    assert start["dir"] == str(tmp_path)
    assert start["config"]["env"]["id"] == "A-v0"
    assert start["settings"]["init_timeout"] > 0
    assert wandb.run.logged == [(3, {"meta_iteration": 3, "kl": 0.01})]
    assert wandb.run.finished
    assert lines == []


def test_an_online_run_tells_its_address(make_sink):
    wandb = FakeWandb()
    wandb.run.url = "https://example.org/run"
    _, lines = make_sink(wandb, "online")
    assert lines == ["wandb shows this run at https://example.org/run"]


def test_a_resumed_run_keeps_its_id(make_sink):
    wandb = FakeWandb()
    make_sink(wandb, "online")
    make_sink(wandb, "online")
    first, second = wandb.starts
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"


def test_online_falls_back_to_offline_with_one_line(make_sink):
    wandb = FakeWandb(broken=("online",))
    sink, lines = make_sink(wandb, "online")
    assert [start["mode"] for start in wandb.starts] == ["online", "offline"]
    sink.write({"meta_iteration": 1})
    assert len(wandb.run.logged) == 1
    assert lines == ["wandb cannot be reached and goes offline: no such host"]


def test_when_nothing_starts_the_sink_is_off_and_training_goes_on(make_sink):
    sink, lines = make_sink(FakeWandb(broken=("offline",)), "offline")
    sink.write({"meta_iteration": 1})
    sink.close()
    assert lines == ["wandb is switched off for this run: no such host"]


def test_wandb_is_not_installed(make_sink):
    sink, lines = make_sink(None, "offline")
    sink.write({"meta_iteration": 1})
    sink.close()
    assert len(lines) == 1


def test_a_failure_while_training_is_one_line(make_sink):
    wandb = FakeWandb()
    sink, lines = make_sink(wandb, "offline")
    wandb.run.log_error = BrokenPipeError()
    for meta_iteration in (1, 2, 3):
        sink.write({"meta_iteration": meta_iteration})
    sink.close()
    assert lines == ["wandb is switched off for this run: BrokenPipeError"]


def test_importing_the_sink_does_not_import_wandb():
    code = "import sys, meta_rl.training.wandb_sink; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_real_wandb_writes_offline_into_the_run_directory(tmp_path: Path):
    lines: list[str] = []
    sink = WandbSink(tmp_path, config_with("offline"), lines.append)
    sink.write({"meta_iteration": 1, "kl": 0.01})
    sink.close()
    assert lines == []
    run_id = (tmp_path / "wandb_run_id.txt").read_text().strip()
    assert list(tmp_path.glob(f"wandb/offline-run-*/run-{run_id}.wandb"))
