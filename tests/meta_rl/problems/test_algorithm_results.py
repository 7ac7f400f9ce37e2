"""What an algorithm returns becomes numbers of a run, or one sentence."""

import numpy as np
import pytest
import torch

from meta_rl.problems.algorithm_results import AlgorithmError, checked_update, not_finite
from meta_rl.types import AlgorithmState

STATE = AlgorithmState({"weight": torch.zeros(2)}, {})


@pytest.mark.parametrize(
    ("metrics", "plain"),
    [
        ({"loss": torch.tensor(1.5)}, {"loss": 1.5}),
        ({"norms": np.array([1.0, 2.0])}, {"norms": [1.0, 2.0]}),
        ({"train_loss": 2, "reason": "none", "accepted": True}, None),
    ],
)
def test_metrics_become_plain_values(metrics, plain):
    assert checked_update("mine", (STATE, metrics), STATE)[1] == (plain or metrics)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("loss", object(), "the metric loss should be a number, .* not a object"),
        # They are averaged over the iterations of a line.
        ("train_mode", "fast", "the metric train_mode should be a number"),
        ("meta_iteration", 3, "the metric meta_iteration has a name that the trainer uses itself"),
        ("seconds_total", 3.0, "the metric seconds_total has a name"),
        ("validation_score", 3.0, "the metric validation_score has a name"),
    ],
)
def test_what_is_no_metric_is_refused(name, value, sentence):
    with pytest.raises(AlgorithmError, match=f"^algorithm.name=mine: {sentence}"):
        checked_update("mine", (STATE, {name: value}), STATE)


def test_a_number_that_is_not_finite_is_found_where_it_counts():
    metrics = {"kl": float("nan"), "gradient_norm": 1.0, "inner_kl": [0.1, float("inf")]}
    assert not_finite(metrics, None) == "kl"
    assert not_finite(metrics, ("gradient_norm", "inner_kl")) == "inner_kl"
    assert not_finite(metrics, ("gradient_norm",)) is None
