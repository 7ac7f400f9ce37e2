"""The tasks that a policy is evaluated on, and whether training draws them too."""

import numpy as np

from meta_rl.problems.task_origin import TaskOrigin
from meta_rl.rollouts.environments import ShardedEnv
from meta_rl.runtime.seeding import RandomStreams, Split

# Enough to meet most of a hundred tasks, and some of a few thousand.
_NUM_DRAWS = 256


def evaluation_tasks(env: ShardedEnv, split: Split, num_tasks: int, seed: int) -> np.ndarray:
    """Validation or test tasks, the same at every call: float64 [num_tasks, P].

    They are draws from the task distribution. Where the environment states ``test_tasks``, the test
    has those, each as often as any other, up to once.

    Args:
        env: of any size.
        split: not ``TRAIN``.
        num_tasks: how many.
        seed: ``evaluation.seed``.
    """
    rng = RandomStreams(seed, split, meta_iteration=0).task_generator()
    stated = stated_test_tasks(env) if split is Split.TEST else None
    if stated is None:
        return env.sample_tasks(num_tasks, rng)
    num_rounds = -(-num_tasks // len(stated))
    order = np.concatenate([rng.permutation(len(stated)) for _ in range(num_rounds)])
    tasks: np.ndarray = stated[order[:num_tasks]]
    return tasks


def stated_test_tasks(env: ShardedEnv) -> np.ndarray | None:
    """The tasks that the environment keeps from training, [N, P]; None where it names none."""
    return None if env.test_tasks is None else env.test_tasks.copy()


def training_draws(env: ShardedEnv, seed: int = 0) -> np.ndarray:
    """Some tasks of the distribution that training draws from, float64 [N, P].

    Args:
        env: of any size.
        seed: ``run.seed``.
    """
    rng = RandomStreams(seed, Split.TRAIN, meta_iteration=0).task_generator()
    return env.sample_tasks(_NUM_DRAWS, rng)


def finite_training_tasks(env: ShardedEnv) -> np.ndarray | None:
    """The tasks that training draws from where they are finitely many, [N, P], else None.

    The environment states them; where it does not, they are known by most draws being repeated.
    """
    if env.finite_tasks is not None:
        stated = stated_test_tasks(env)
        if stated is None:
            return env.finite_tasks.copy()
        return env.finite_tasks[~are_among(env.finite_tasks, stated)]
    return _distinct_if_finite(training_draws(env))


def origin_of_test_tasks(env: ShardedEnv, tasks: np.ndarray, run_seed: int) -> TaskOrigin:
    """What may be said of tasks that ``evaluation_tasks`` gave.

    Args:
        env: of any size.
        tasks: [M, P].
        run_seed: of the training.
    """
    if stated_test_tasks(env) is not None:
        return TaskOrigin("held-out tasks", held_out=True)
    if env.finite_tasks is not None:
        return TaskOrigin("tasks seen in training", held_out=False)
    draws = training_draws(env, run_seed)
    if not are_among(tasks, draws).any():
        return TaskOrigin("held-out tasks", held_out=True)
    if _distinct_if_finite(draws) is not None:
        return TaskOrigin("tasks seen in training", held_out=False)
    return TaskOrigin("tasks that may have been seen in training", held_out=False)


def are_among(tasks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Bool [M]: which tasks [M, P] are equal to one of the others [N, P]."""
    known = {task.tobytes() for task in _comparable(others)}
    return np.array([task.tobytes() in known for task in _comparable(tasks)], dtype=bool)


def _distinct_if_finite(draws: np.ndarray) -> np.ndarray | None:
    distinct = np.unique(draws, axis=0)
    return distinct if len(distinct) <= len(draws) / 2 else None


def _comparable(tasks: np.ndarray) -> np.ndarray:
    """Equal numbers have equal bytes: adding zero turns -0.0 into 0.0."""
    return np.ascontiguousarray(tasks, dtype=np.float64) + 0.0
