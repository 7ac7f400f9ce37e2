"""Which examples each inner step sees."""

import numpy as np


def mini_batch_index(
    num_tasks: int, num_examples: int, batch_size: int, num_batches: int, rng: np.random.Generator
) -> np.ndarray:
    """Mini-batches from the examples of each task, in a new random order at each pass over them.

    A batch may reach over into the next pass. Where it would hold all examples, each batch is the
    whole set.

    Returns:
        int64 [task, batch, example].
    """
    if batch_size >= num_examples:
        return np.tile(np.arange(num_examples), (num_tasks, num_batches, 1))
    num_passes = -(-batch_size * num_batches // num_examples)
    order = rng.random((num_tasks, num_passes, num_examples)).argsort(axis=-1)
    drawn = order.reshape(num_tasks, -1)[:, : batch_size * num_batches]
    return drawn.reshape(num_tasks, num_batches, batch_size)
