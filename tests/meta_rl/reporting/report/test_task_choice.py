"""A report shows a typical task and the extremes, whatever the number of tasks."""

import numpy as np
import pytest

from meta_rl.reporting.report.task_choice import choose_tasks


def test_the_typical_task_comes_first_and_the_extremes_are_there():
    # Final returns -1, -5, -3, -2, -4; gains 9, 0, 1, -1, 2.
    returns = np.array([[-10, -1], [-5, -5], [-4, -3], [-1, -2], [-6, -4]], dtype=float)
    chosen = choose_tasks(returns, num_tasks=5)
    reasons = {task.index: task.reason for task in chosen}
    assert chosen[0].index == 2
    assert reasons[2] == "median return"
    assert reasons[0] == "best return, gains most"
    assert reasons[1] == "worst return"
    assert reasons[3] == "loses most"
    assert len(chosen) == 5


@pytest.mark.parametrize("num_steps", [1, 4])
@pytest.mark.parametrize("num_tasks", [2, 3, 6, 40])
def test_each_is_chosen_once_and_none_too_many(num_tasks, num_steps):
    returns = np.random.default_rng(num_tasks).normal(size=(num_tasks, num_steps))
    indices = [task.index for task in choose_tasks(returns, num_tasks=6)]
    assert len(set(indices)) == len(indices)
    assert len(indices) == min(6, num_tasks) or num_tasks < 6
    assert set(indices) <= set(range(num_tasks))


def test_nothing_loses_where_every_task_gains():
    chosen = choose_tasks(np.array([[-3.0, -1.0], [-3.0, -2.0]]), num_tasks=6)
    assert not any("loses" in task.reason for task in chosen)
