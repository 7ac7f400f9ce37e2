"""Tests say what they need of the machine: ``@pytest.mark.needs("chromium")``, a name in NEEDS.

Where that is missing, the test is skipped, and the run ends with a line that says how to have it.
With CI=true, a test that misses a tool fails instead: a tool can be installed, and a green run must
not hide what it has not tried. Only data, hardware and other builds may be missing there. A test
that skips without a name from here fails everywhere.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import pytest


class Need(NamedTuple):
    """What a test may need.

    Attributes:
        is_here: whether the machine has it.
        remedy: how to have it.
        is_tool: whether it can be installed anywhere.
    """

    is_here: Callable[[], bool]
    remedy: str
    is_tool: bool


@cache
def can_draw() -> bool:
    import gymnasium

    import envs
    from envs.appearance import RenderingError

    assert envs  # registers the environments
    env = gymnasium.make("HalfCheetahVel-v0", render_mode="rgb_array").unwrapped
    try:
        env.render()
    except RenderingError:
        return False
    finally:
        env.close()
    return True


@cache
def num_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def any_of(*programs: str) -> Callable[[], bool]:
    return lambda: any(map(shutil.which, programs))


NEEDS = {
    "chromium": Need(
        any_of("chromium", "google-chrome"), "on Debian: apt-get install chromium", is_tool=True
    ),
    "EGL": Need(
        can_draw,
        "on Debian: apt-get install libegl1 libopengl0 libgl1-mesa-dri",
        is_tool=True,
    ),
    "a C++ compiler": Need(
        any_of("c++", "g++", "clang++"), "on Debian: apt-get install g++", is_tool=True
    ),
    "Linux": Need(lambda: sys.platform == "linux", "run it on Linux", is_tool=False),
    "ONNX": Need(
        lambda: all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))),
        "pip install -e '.[dev]'",
        is_tool=True,
    ),
    "Omniglot": Need(
        lambda: "META_RL_OMNIGLOT" in os.environ,
        "META_RL_OMNIGLOT=omniglot28.npz scripts/test",
        is_tool=False,
    ),
    "triton": Need(
        lambda: find_spec("triton") is not None,
        "a CUDA build of torch brings it, with or without a GPU",
        is_tool=False,
    ),
    "a GPU": Need(lambda: num_gpus() > 0, "run it where torch.cuda.is_available()", is_tool=False),
    "two GPUs": Need(
        lambda: num_gpus() > 1, "run it where torch.cuda.device_count() is 2", is_tool=False
    ),
    "no GPU": Need(lambda: num_gpus() == 0, "CUDA_VISIBLE_DEVICES= scripts/test", is_tool=False),
}
_IN_CI = os.environ.get("CI") == "true"
_skipped_by_name = pytest.StashKey[bool]()


def _no_fork() -> int:
    raise AssertionError("spawn processes: what autograd has started does not survive a fork")


def pytest_configure(config: pytest.Config) -> None:
    os.fork = _no_fork
    config.addinivalue_line("markers", "needs(*names): what the machine must have, tests/conftest")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    if item.get_closest_marker("cuda"):
        names.append("a GPU")
    for name in names:
        need = NEEDS[name]
        if not need.is_here():
            sentence = f"needs {name} ({need.remedy})"
            if need.is_tool and _IN_CI:
                pytest.fail(sentence, pytrace=False)
            item.stash[_skipped_by_name] = True
            pytest.skip(sentence)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    del call
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _skipped_by_name not in item.stash:
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    del collector
    report = yield
    if report.skipped:
        _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    report.outcome = "failed"
    *_, reason = report.longrepr
    report.longrepr = f"{reason}: what a test needs should have a name in tests/conftest.py"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Prints the last lines of the run."""
    result = yield
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not session.config.option.collectonly:
        reasons = Counter(report.longrepr[2] for report in terminal.stats.get("skipped", ()))
        for reason, count in sorted(reasons.items()):
            plural = "test" if count == 1 else "tests"
            terminal.write_line(f"Not run: {count} {plural}, {reason.removeprefix('Skipped: ')}")
        if not reasons:
            terminal.write_line("No test was skipped.")
    return result
