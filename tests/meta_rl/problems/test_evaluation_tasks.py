"""Which tasks are evaluated, and that only those are called held-out that training cannot draw."""

from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import pytest

from meta_rl.config import load_config
from meta_rl.evaluation.evaluation_job import TaskChoice, choose_tasks
from meta_rl.evaluation.held_out_tasks import extrapolation_warning, grid_of_tasks
from meta_rl.problems.evaluation_tasks import (
    are_among,
    evaluation_tasks,
    finite_training_tasks,
    origin_of_test_tasks,
)
from meta_rl.rollouts.environments import make_env
from meta_rl.runtime.seeding import Split

SMOKE = load_config("smoke")


@dataclass
class FakeEnv:
    """A distribution of tasks without an environment around it."""

    draw: object
    task_parameter_names: tuple[str, ...] = ("index",)
    task_range: np.ndarray | None = field(default_factory=lambda: np.array([[0.0], [4.0]]))
    finite_tasks: np.ndarray | None = None
    test_tasks: np.ndarray | None = None

    def sample_tasks(self, num_tasks, rng):
        return np.asarray(self.draw(num_tasks, rng), dtype=np.float64)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def integers(high: int):
    return lambda num_tasks, rng: rng.integers(0, high, (num_tasks, 1))


def uniform(num_tasks, rng):
    return rng.uniform(0, 4, (num_tasks, 1))


def origin(env, num_tasks: int = 40):
    tasks = evaluation_tasks(env, Split.TEST, num_tasks, seed=0)
    return origin_of_test_tasks(env, tasks, run_seed=0)


@pytest.mark.parametrize(
    ("env_id", "words", "held_out"),
    [
        ("Navigation2D-v0", "held-out tasks", True),
        ("HalfCheetahVel-v0", "held-out tasks", True),
        ("HalfCheetahDir-v0", "tasks seen in training", False),
    ],
)
def test_what_is_said_of_our_own_families(env_id, words, held_out):
    config = load_config("smoke", [f"env.id={env_id}"])
    with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
        said = origin(env)
        tasks, chosen = choose_tasks(env, TaskChoice(), config)
    assert (said.words, said.held_out) == (words, held_out)
    assert chosen.words == f"{words}, drawn with seed 0"
    assert chosen.held_out == held_out
    assert len(tasks) == config.evaluation.num_tasks


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (FakeEnv(uniform), "held-out tasks"),
        (FakeEnv(integers(5), finite_tasks=column(0, 1, 2, 3, 4)), "tasks seen in training"),
        (FakeEnv(integers(5)), "tasks seen in training"),  # which nobody has stated
        (FakeEnv(integers(60)), "tasks seen in training"),
        (FakeEnv(integers(1500)), "tasks that may have been seen in training"),
        (FakeEnv(integers(10**9)), "held-out tasks"),
        (FakeEnv(integers(5), test_tasks=column(7, 8)), "held-out tasks"),
    ],
)
def test_what_is_said_of_users_tasks(env, words):
    assert origin(env).words == words
    assert origin(env).held_out == (words == "held-out tasks")


def test_stated_test_tasks_are_for_the_test_alone():
    env = FakeEnv(integers(5), test_tasks=column(10, 11, 12))
    test, again = (evaluation_tasks(env, Split.TEST, 7, seed=3) for _ in range(2))
    assert np.array_equal(test, again)
    assert test.shape == (7, 1)
    counts = dict(zip(*np.unique(test, return_counts=True), strict=True))
    assert set(counts) == {10.0, 11.0, 12.0}
    assert set(counts.values()) == {2, 3}
    assert evaluation_tasks(env, Split.VALIDATION, 40, seed=3).max() < 5


def test_all_tasks_but_the_test_tasks_are_for_training():
    env = FakeEnv(integers(5), finite_tasks=column(0, 1, 2, 7), test_tasks=column(7))
    assert finite_training_tasks(env).ravel().tolist() == [0, 1, 2]


def test_without_stated_test_tasks_they_are_the_draws_that_they_were():
    config = load_config("smoke", ["env.id=HalfCheetahDir-v0"])
    with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
        tasks = evaluation_tasks(env, Split.TEST, 8, seed=0)
    expected = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(2, 0, 0, 0, 0)))
    assert tasks.ravel().tolist() == expected.choice([-1.0, 1.0], size=8).tolist()


def test_a_grid_never_makes_up_a_task():
    stated = FakeEnv(integers(5), finite_tasks=column(0, 1, 2, 3, 4))
    found = FakeEnv(integers(5))
    for env in (stated, found):
        assert grid_of_tasks(env, 9).tolist() == [[0], [1], [2], [3], [4]]
    assert grid_of_tasks(FakeEnv(uniform), 5).tolist() == [[0], [1], [2], [3], [4]]
    assert grid_of_tasks(FakeEnv(uniform), 9)[1] == 0.5
    with_tests = FakeEnv(integers(2), finite_tasks=column(0, 1), test_tasks=column(7, 8))
    assert grid_of_tasks(with_tests, 9).ravel().tolist() == [0, 1, 7, 8]
    assert extrapolation_warning(with_tests, grid_of_tasks(with_tests, 9)) is None
    assert "1 of 1 tasks lies outside the tasks 0 | 1" in extrapolation_warning(
        with_tests, column(3)
    )


def test_a_grid_over_an_index_and_a_number_has_whole_indices():
    def draw(num_tasks, rng):
        return np.column_stack([rng.integers(0, 9, num_tasks), rng.uniform(0, 1, num_tasks)])

    env = FakeEnv(draw, ("index", "goal"), np.array([[0.0, 0.0], [8.0, 1.0]]))
    tasks = grid_of_tasks(env, 4)
    assert np.unique(tasks[:, 0]).tolist() == [0, 3, 5, 8]
    np.testing.assert_allclose(np.unique(tasks[:, 1]), [0, 1 / 3, 2 / 3, 1])
    assert finite_training_tasks(env) is None


def test_what_is_said_of_chosen_tasks(tmp_path):
    finite = FakeEnv(integers(5), finite_tasks=column(0, 1, 2, 3, 4), test_tasks=column(7, 8))
    file = tmp_path / "tasks.csv"

    def said(env, *values: float) -> tuple[str, bool]:
        file.write_text("index\n" + "".join(f"{value}\n" for value in values))
        chosen = choose_tasks(env, TaskChoice(file=file), SMOKE)[1]
        return chosen.words.removeprefix(f"the tasks of {file}"), chosen.held_out

    assert said(finite, 1, 2) == (", seen in training", False)
    assert said(finite, 1, 2, 7) == (", 2 of 3 seen in training", False)
    assert said(finite, 7, 8) == (", held out from training", True)
    assert said(FakeEnv(uniform), 1, 2) == ("", False)
    grid = choose_tasks(FakeEnv(integers(5)), TaskChoice(grid=9), SMOKE)[1]
    assert grid.words == "every known task, seen in training"
    assert choose_tasks(FakeEnv(uniform), TaskChoice(grid=9), SMOKE)[1].words == (
        "an even grid over the task range"
    )


def test_zeros_are_equal_whatever_their_sign():
    assert are_among(column(-0.0, 1.0), column(0.0, 2.0)).tolist() == [True, False]
