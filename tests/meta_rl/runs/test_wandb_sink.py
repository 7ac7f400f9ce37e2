"""wandb: used when it works, passed over in one line when it does not."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from meta_rl.config import config_from_mapping
from meta_rl.curves.adaptation_curve import QUANTILE_95, AdaptationCurve, return_curve
from meta_rl.runs.sinks.wandb_sink import WandbSink


class FakeRun:
    def __init__(self):
        self.logged, self.finished, self.log_error = [], False, None
        self.url: str | None = None
        self.step = 0

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

    def Table(self, *, columns, data):  # noqa: N802
        return {"columns": columns, "data": data}

    def Video(self, path, *, format):  # noqa: N802
        return (path, format)

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


def test_each_number_of_a_list_is_a_scalar(make_sink):
    wandb = FakeWandb()
    sink, _ = make_sink(wandb, "offline")
    sink.write({"meta_iteration": 1, "train_return": [-9.0, -4.0], "line_search": "accepted"})
    ((_, record),) = wandb.run.logged
    assert record == {
        "meta_iteration": 1,
        "train_return/0": -9.0,
        "train_return/1": -4.0,
        "line_search": "accepted",
    }


def curve(*means: float) -> AdaptationCurve:
    """Of two tasks with two episodes each; the half-width of the interval is the quantile."""
    episode_return = np.array([means, means])[:, :, None] + np.array([[[-1.0]], [[1.0]]])
    return return_curve(np.zeros((2, 1)), np.repeat(episode_return, 2, axis=-1))


def test_curves_are_tables(make_sink):
    wandb = FakeWandb()
    sink, _ = make_sink(wandb, "offline")
    sink.evaluation(20, "validation", curve(-9.0, -4.0))
    sink.write({"meta_iteration": 20})
    sink.evaluation(0, "test", curve(-8.0, -7.0))
    sink.evaluation(20, "test", curve(-6.0, -5.0))
    sink.close()
    validation, record, test = wandb.run.logged
    # Two tasks, one above and one below: the mean's standard error is sqrt(2) / sqrt(2).
    width = pytest.approx(QUANTILE_95)
    columns = ["meta_iteration", "adaptation_step", "return", "return_interval"]
    rows = [[20, 0, -9.0, width], [20, 1, -4.0, width]]
    assert validation == (20, {"validation_curve": {"columns": columns, "data": rows}})
    assert record[0] == 20
    # Not before the last iteration, whatever the iteration of the policy: wandb would drop it.
    assert test[0] == 300
    assert [row[:3] for row in test[1]["test_curve"]["data"]] == [
        *([0, 0, -8.0], [0, 1, -7.0], [20, 0, -6.0], [20, 1, -5.0])
    ]


def test_supervised_curves_have_a_column_per_quantity(make_sink):
    wandb = FakeWandb()
    sink, _ = make_sink(wandb, "offline")
    loss, accuracy = np.array([[2.0, 1.0], [4.0, 1.0]]), np.array([[0.2, 0.5], [0.2, 0.7]])
    quantities = {"loss": loss[..., None], "accuracy": accuracy[..., None]}
    sink.evaluation(7, "validation", AdaptationCurve(np.zeros((2, 1)), quantities))
    ((step, values),) = wandb.run.logged
    table = values["validation_curve"]
    assert step == 7
    assert table["columns"] == [
        *("meta_iteration", "adaptation_step"),
        *("loss", "accuracy", "loss_interval", "accuracy_interval"),
    ]
    # The standard error of the mean of 2 and 4 is 1, of .5 and .7 it is .1.
    assert table["data"] == [
        [7, 0, 3.0, pytest.approx(0.2), pytest.approx(QUANTILE_95), pytest.approx(0)],
        [7, 1, 1.0, pytest.approx(0.6), pytest.approx(0), pytest.approx(0.1 * QUANTILE_95)],
    ]


def test_films_come_after_everything_else(make_sink, tmp_path: Path):
    wandb = FakeWandb()
    sink, _ = make_sink(wandb, "offline")
    sink.films({"task 1": tmp_path / "a.mp4"})
    wandb.run.step = 400  # as of a run at wandb that is resumed
    sink.films({"task 1": tmp_path / "a.mp4"})
    film = {"films/task 1": (str(tmp_path / "a.mp4"), "mp4")}
    assert wandb.run.logged == [(301, film), (400, film)]


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
    sink.evaluation(3, "test", curve(-1.0))
    sink.films({})
    sink.close()
    assert lines == ["wandb is switched off for this run: BrokenPipeError"]


def test_importing_the_sink_does_not_import_wandb():
    code = "import sys, meta_rl.runs.sinks.wandb_sink; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_real_wandb_writes_offline_into_the_run_directory(tmp_path: Path):
    lines: list[str] = []
    sink = WandbSink(tmp_path, config_with("offline"), lines.append)
    sink.evaluation(1, "validation", curve(-9.0, -4.0))
    sink.write({"meta_iteration": 1, "kl": 0.01})
    sink.close()
    assert lines == []
    run_id = (tmp_path / "wandb_run_id.txt").read_text().strip()
    assert list(tmp_path.glob(f"wandb/offline-run-*/run-{run_id}.wandb"))
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/validation_curve_*.json")
    rows = json.loads(table.read_text())["data"]
    assert [row[:3] for row in rows] == [[1, 0, -9.0], [1, 1, -4.0]]


# What a process does with the sink; it ends with status 3 where Python opens an internet socket.
USE = """
import os, socket, sys
from pathlib import Path
from meta_rl.config import config_from_mapping


def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        if event == "socket.getaddrinfo" or arguments[0].family != socket.AF_UNIX:
            os._exit(3)


mode, folder = sys.argv[1:]
if mode != "online":
    sys.addaudithook(forbid)
config = config_from_mapping({"env": {"id": "A-v0"}, "run": {"wandb": mode}}, "test")
from meta_rl.runs.sinks.wandb_sink import WandbSink

sink = WandbSink(Path(folder), config, print)
sink.write({"meta_iteration": 1, "kl": 0.01})
sink.close()
"""


def use(mode: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if "WANDB" not in name}
    return subprocess.run(
        [sys.executable, "-c", USE, mode, str(folder)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**clean, "WANDB_API_KEY": "0" * 40, "WANDB_INIT_TIMEOUT": "3", **variables},
    )


@pytest.fixture
def listener():
    """A local server that only counts who comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        calls: list[object] = []
        ended = threading.Event()

        def count() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, caller = server.accept()
                    calls.append(caller)
                    connection.close()

        thread = threading.Thread(target=count)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        ended.set()
        thread.join()


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_only_an_online_run_touches_the_network(listener, tmp_path: Path, mode: str):
    address, calls = listener
    proxies = {name: address for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    result = use(mode, tmp_path, WANDB_BASE_URL=address, **proxies)
    assert (result.returncode, result.stderr) == (0, "")
    if mode == "online":
        assert calls, "otherwise the silence of an offline run would show nothing"
    else:
        assert (calls, result.stdout) == ([], "")
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_an_address_where_nobody_listens_costs_one_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed from here on
    result = use("online", tmp_path, WANDB_BASE_URL=f"http://127.0.0.1:{port}")
    assert (result.returncode, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    assert line.startswith("wandb cannot be reached and goes offline: ")
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
