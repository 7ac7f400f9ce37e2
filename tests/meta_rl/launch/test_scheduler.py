"""The scheduler, with stand-ins for the training processes."""

from pathlib import Path
from typing import ClassVar

import pytest

from meta_rl.launch import scheduler
from meta_rl.launch.index import SweepRun
from meta_rl.launch.scheduler import WatchedRun, work_through


class Process:
    """Ends when it has been asked a few times; the class knows who runs, and how many ever did."""

    alive: ClassVar[set[str]]
    most: ClassVar[int]
    statuses: ClassVar[dict[str, int]]

    def __init__(self, run: SweepRun, *, num_threads: int, sets_num_threads: bool) -> None:
        if run.name == "unwritable":
            raise OSError("no space left")
        assert run.name not in self.alive
        self.name, self.polls, self.stopped = run.name, 3, False
        self.alive.add(run.name)
        type(self).most = max(self.most, len(self.alive))

    def poll(self) -> int | None:
        self.polls -= 1
        if self.polls > 0 and not self.stopped:
            return None
        self.alive.discard(self.name)
        return 143 if self.stopped else self.statuses.get(self.name, 0)

    def wait(self) -> int:
        return 143 if self.stopped else 0

    def stop(self) -> None:
        self.stopped = True

    def error(self) -> str:
        return "it broke"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scheduler, "TrainingProcess", Process)
    monkeypatch.setattr(scheduler, "POLL_S", 0.0)
    for name, value in {"alive": set(), "most": 0, "statuses": {}}.items():
        monkeypatch.setattr(Process, name, value, raising=False)

    def work(names: list[str], num_jobs: int, should_stop=lambda: False) -> list[WatchedRun]:
        watched = [WatchedRun(SweepRun(tmp_path, name, {}), 9) for name in names]
        watched[0].state = "finished"
        work_through(
            watched,
            num_jobs=num_jobs,
            num_threads=1,
            sets_num_threads=False,
            should_stop=should_stop,
            show=lambda: None,
        )
        return watched

    return work


@pytest.mark.parametrize("num_jobs", [1, 2, 9])
def test_so_many_at_a_time_and_each_once(work, num_jobs: int):
    watched = work(["ready", "a", "b", "c", "d"], num_jobs)
    assert {entry.state for entry in watched} == {"finished"}
    assert Process.most == min(num_jobs, 4)


def test_what_fails_does_not_stop_the_others(work):
    Process.statuses = {"b": 1}
    watched = work(["ready", "a", "b", "unwritable", "c"], 1)
    assert [entry.state for entry in watched] == [
        *("finished", "finished", "failed", "failed", "finished")
    ]
    assert [entry.error for entry in watched] == ["", "", "it broke", "no space left", ""]


def test_when_stopped_the_running_are_asked_to_end_and_the_waiting_are_not_started(work):
    asked = iter([False, True])
    watched = work(["ready", "a", "b", "c"], 2, lambda: next(asked))
    assert [entry.state for entry in watched] == ["finished", "stopped", "stopped", "waiting"]
    assert Process.alive == set()
