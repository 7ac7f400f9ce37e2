"""Seconds by kind of work."""

import time

import pytest
import torch

from meta_rl.runtime.stage_clock import StageClock


def test_seconds_add_up_by_name():
    clock = StageClock(torch.device("cpu"))
    for _ in range(2):
        with clock.measure("sampling"):
            time.sleep(0.02)
    with clock.measure("updating"):
        pass
    time.sleep(0.05)  # not measured
    assert clock.seconds.keys() == {"sampling", "updating"}
    assert 0.04 <= clock.seconds["sampling"] < 1.0
    assert 0.0 <= clock.seconds["updating"] < 0.02
    assert clock.total == clock.seconds["sampling"] + clock.seconds["updating"]


def test_time_before_an_exception_counts():
    clock = StageClock(torch.device("cpu"))
    with pytest.raises(KeyboardInterrupt), clock.measure("sampling"):
        time.sleep(0.01)
        raise KeyboardInterrupt
    assert clock.seconds["sampling"] >= 0.01
