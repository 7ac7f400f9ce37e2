"""The module of misbehaving environments, where a worker finds it, and what they leave behind."""

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

PROGRAMS = ("7771", "7772", "7773")


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets workers import ``misbehaving``; asserts that nothing is left of them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "misbehaving", raising=False)
    known, before = set(gymnasium.registry), programs_running()
    yield
    sys.modules.pop("misbehaving", None)
    for env_id in set(gymnasium.registry) - known:
        gymnasium.registry.pop(env_id)
    assert multiprocessing.active_children() == []
    assert programs_running() <= before


def programs_running() -> set[int]:
    """Process numbers of the programs that misbehaving environments start."""
    found = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sleep" and words[1].decode() in PROGRAMS:
            found.add(int(command.parent.name))
    return found
