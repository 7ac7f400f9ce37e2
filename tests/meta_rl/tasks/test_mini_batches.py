"""Inner mini-batches: passes over the examples in new orders."""

import numpy as np

from meta_rl.tasks.mini_batches import mini_batch_index


def test_one_pass_holds_every_example_once():
    index = mini_batch_index(3, 50, 10, 5, np.random.default_rng(0))
    assert index.shape == (3, 5, 10)
    for task in index:
        assert sorted(task.ravel()) == list(range(50))
    assert not np.array_equal(index[0], index[1])


def test_a_batch_reaches_over_into_the_next_pass():
    index = mini_batch_index(2, 5, 3, 4, np.random.default_rng(0))
    for task in index.reshape(2, -1):
        assert sorted(task[:5]) == list(range(5))
        assert sorted(task[5:10]) == list(range(5))
        assert len(set(task[10:])) == 2


def test_a_batch_of_all_examples_is_the_whole_set():
    for size in (5, 7):
        index = mini_batch_index(2, 5, size, 3, np.random.default_rng(0))
        assert index.tolist() == [[[0, 1, 2, 3, 4]] * 3] * 2
