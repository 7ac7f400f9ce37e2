"""``metrics.jsonl``: readable at any time, and after a resume as if nothing had happened."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl.runs.metrics_file import MetricsFile


def write(path: Path, meta_iterations: range, resume_from: int = 0) -> None:
    sink = MetricsFile(path, resume_from)
    for meta_iteration in meta_iterations:
        sink.write({"meta_iteration": meta_iteration, "kl": meta_iteration / 7})
    sink.close()


def test_a_record_is_on_file_as_soon_as_it_is_written(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    sink = MetricsFile(path)
    sink.write({"meta_iteration": 1, "return": [0.1, 2], "accepted": True, "reason": "accepted"})
    assert path.read_text() == (
        '{"meta_iteration": 1, "return": [0.1, 2], "accepted": true, "reason": "accepted"}\n'
    )
    sink.close()


def test_scalars_of_numpy_and_torch_and_what_is_not_finite(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    sink = MetricsFile(path)
    sink.write(
        {
            "meta_iteration": np.int64(1),
            "a": np.float32(0.5),
            "b": torch.tensor(0.25),
            "c": np.array([1.0, np.nan]),
            "d": float("inf"),
            "e": torch.tensor(float("nan")),
        }
    )
    sink.close()
    assert json.loads(path.read_text()) == {
        **{"meta_iteration": 1, "a": 0.5, "b": 0.25, "c": [1.0, None], "d": None, "e": None}
    }


@pytest.mark.parametrize("torn", ["", '{"meta_iteration": 2, "k', '{"meta_iteration": 2}', "\0\n"])
def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path: Path, torn: str):
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    write(whole, range(1, 13))
    write(resumed, range(1, 10))
    with resumed.open("a") as file:
        file.write(torn)
    write(resumed, range(5, 13), resume_from=4)
    assert resumed.read_text() == whole.read_text()


def test_a_torn_line_within_the_checkpoint_is_dropped(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"meta_iteration": 1}\n{"meta_iteration": 1')
    MetricsFile(path, resume_from=4).close()
    assert path.read_text() == '{"meta_iteration": 1}\n'
