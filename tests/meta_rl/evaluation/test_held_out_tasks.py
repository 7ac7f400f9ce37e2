"""Which tasks are evaluated: draws, grids and files, and what is wrong with them."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from meta_rl.config import load_config
from meta_rl.evaluation.held_out_tasks import (
    TaskSelectionError,
    extrapolation_warning,
    grid_of_tasks,
    read_tasks,
    sampled_tasks,
)
from meta_rl.rollouts.environments import make_env

NAMES = ("goal_x", "goal_y")


def env(env_id: str = "Navigation2D-v0", options: str = "{}"):
    config = load_config("smoke", [f"env.id={env_id}", f"env.options={options}"])
    return closing(make_env(config, num_tasks=1, num_episodes=1))


def test_sampled_tasks_are_a_function_of_the_seed():
    with env() as navigation:
        tasks = sampled_tasks(navigation, 30, seed=3)
        again = sampled_tasks(navigation, 30, seed=3)
        other = sampled_tasks(navigation, 30, seed=4)
    assert np.array_equal(tasks, again)
    assert not np.isin(tasks, other).any()


def test_a_grid_is_even_and_reaches_both_ends():
    with env() as navigation:
        tasks = grid_of_tasks(navigation, 3)
    assert tasks.tolist() == [[x, y] for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.0, 0.5)]


def test_a_grid_follows_the_options_of_the_environment():
    with env("HalfCheetahVel-v0", "{velocity_range: [1.0, 3.0]}") as cheetah:
        assert grid_of_tasks(cheetah, 5).tolist() == [[1.0], [1.5], [2.0], [2.5], [3.0]]


@pytest.mark.parametrize("num_values", [2, 7])
def test_a_grid_of_finite_tasks_is_all_of_them(num_values):
    with env("HalfCheetahDir-v0") as cheetah:
        assert grid_of_tasks(cheetah, num_values).tolist() == [[-1.0], [1.0]]


def test_grids_that_cannot_be(monkeypatch):
    with env() as navigation:
        for num_values, message in (
            (1, "at least 2"),
            (0, "at least 2"),
            (101, "more than 10,000"),
        ):
            with pytest.raises(TaskSelectionError, match=message):
                grid_of_tasks(navigation, num_values)
        assert len(grid_of_tasks(navigation, 100)) == 10_000
        monkeypatch.setattr(navigation.shards[0], "task_range", None)
        with pytest.raises(TaskSelectionError, match="no task_range"):
            grid_of_tasks(navigation, 3)
        assert extrapolation_warning(navigation, np.array([[9.0, 9.0]])) is None


@pytest.mark.parametrize(
    ("env_id", "tasks", "parts"),
    [
        ("Navigation2D-v0", [[0.5, -0.5], [0.0, 0.0]], None),
        ("Navigation2D-v0", [[0.5, 0.0], [0.0, 0.6]], ["1 of 2 tasks lies", "[-0.5, 0.5]"]),
        ("Navigation2D-v0", [[1, 0.0], [0.0, -2]], ["2 of 2 tasks lie", "goal_x", "goal_y"]),
        ("HalfCheetahDir-v0", [[-1.0], [1.0]], None),
        ("HalfCheetahDir-v0", [[0.5], [1.0]], ["1 of 2 tasks lies outside the tasks -1 | 1,"]),
    ],
)
def test_tasks_outside_the_range_deserve_a_warning(env_id, tasks, parts):
    with env(env_id) as environment:
        warning = extrapolation_warning(environment, np.array(tasks))
    assert (warning is None) == (parts is None)
    for part in parts or []:
        assert part in warning


@pytest.mark.parametrize(
    "text",
    [
        "goal_x,goal_y\n0.1,-0.2\n0.3,4e-1\n",
        "goal_y, goal_x\n-0.2, 0.1\n\n0.4, 0.3",
        '\ufeff"goal_x","goal_y"\r\n0.1,-0.2\r\n0.3,0.4\r\n',
    ],
)
def test_a_file_of_tasks(tmp_path: Path, text):
    path = tmp_path / "tasks.csv"
    path.write_text(text, newline="")
    assert read_tasks(path, NAMES).tolist() == [[0.1, -0.2], [0.3, 0.4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header goal_x,goal_y and a line for each task"),
        ("goal_x,goal_y\n", "and a line for each task"),
        ("goal_x\n1\n", "line 1: the header should be goal_x,goal_y, not goal_x"),
        ("goal_x,goal_z\n1,2\n", "line 1: the header should be"),
        ("goal_x,goal_y,goal_y\n1,2,3\n", "line 1: the header should be"),
        ("0.1,0.2\n0.3,0.4\n", "line 1: the header should be"),
        ("goal_x,goal_y\n1,2\n3\n", "line 3: there are 1 columns, not 2"),
        ("goal_x,goal_y\n1,2\n\n3,4,5\n", "line 4: there are 3 columns, not 2"),
        ("goal_x,goal_y\n1,two\n", "line 2, column 2 (goal_y): 'two' is not a finite number"),
        ("goal_y,goal_x\n1,2\n1, nan\n", "line 3, column 2 (goal_x): 'nan' is not"),
        ("goal_x,goal_y\n,2\n", "line 2, column 1 (goal_x): '' is not a finite number"),
        ('goal_x,goal_y\n1,"2\n', "line 2: unexpected end of data"),
    ],
)
def test_a_broken_file_names_line_and_column(tmp_path: Path, text, message):
    path = tmp_path / "tasks.csv"
    path.write_text(text)
    with pytest.raises(TaskSelectionError) as error:
        read_tasks(path, NAMES)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(TaskSelectionError, match="cannot be read: No such file"):
        read_tasks(tmp_path / "none.csv", NAMES)
    with pytest.raises(TaskSelectionError, match="cannot be read: it is a folder"):
        read_tasks(tmp_path, NAMES)
    (tmp_path / "bytes.csv").write_bytes(b"goal_x,goal_y\n\xff\xfe,1\n")
    with pytest.raises(TaskSelectionError, match="not a CSV file in UTF-8"):
        read_tasks(tmp_path / "bytes.csv", NAMES)
