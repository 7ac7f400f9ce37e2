"""A trial's reward is the sum over all of its pulls, those before adapting too."""

import numpy as np
import pytest
from bandit_total import summary, trial_totals


def rows(kind: str, name: str, seed: int, returns: np.ndarray):
    """Of an evaluation, returns [task, adaptation_step, episode]."""
    for task, step, episode in np.ndindex(returns.shape):
        yield {
            "kind": kind,
            "name": name,
            "seed": str(seed),
            "task_index": str(task),
            "adaptation_step": str(step),
            "episode": str(episode),
            "episode_return": str(returns[task, step, episode]),
        }


def test_every_pull_counts_once():
    # Two tasks, two stages of three pulls.
    first = np.array([[[1, 0, 0], [1, 1, 1]], [[0, 0, 0], [0, 1, 0]]], float)
    second = 1 - first
    totals = trial_totals([*rows("run", "a", 4, first), *rows("reference", "random", 4, second)])
    assert set(totals) == {"seed 4", "untrained"}
    assert totals["seed 4"].tolist() == [[1, 3], [0, 1]]
    assert totals["untrained"].tolist() == [[2, 0], [3, 2]]
    found = summary(totals["seed 4"])
    assert found["stages"] == [0.5, 2.0]
    assert found["total"] == 2.5
    # Totals 4 and 1: standard deviation 3 / sqrt(2), of the mean 1.5.
    assert found["interval"] == pytest.approx(1.96 * 1.5, abs=0.01)
    assert found["num_tasks"] == 2
