"""Tasks of a user's environment: the layer that has them, those that are held out, success."""

import gymnasium
import numpy as np
import pytest

import envs
from envs.registry import make_task_env

pytestmark = pytest.mark.usefixtures("misbehaving")


def make(name, num_envs=4, **arguments):
    return envs.make_task_vector_env(
        f"misbehaving:{name}-v0", num_envs, **{"num_threads": 1, "timeout": 30.0, **arguments}
    )


def test_the_outermost_layer_with_tasks_counts_in_workers_and_here():
    env = make("Narrowed", max_episode_steps=9)
    single = make_task_env("misbehaving:Narrowed-v0", max_episode_steps=9)
    try:
        assert env.task_parameter_names == ("aim",)
        np.testing.assert_array_equal(env.task_range, [[0.9], [1.0]])
        tasks = env.sample_tasks(4, np.random.default_rng(0))
        assert ((tasks >= 0.9) & (tasks <= 1.0)).all()
        env.set_tasks(tasks)
        env.reset(seed=5)
        reward = env.step(np.zeros((4, 1)))[1]
        for i, task in enumerate(tasks):
            single.get_wrapper_attr("set_task")(task)
            single.reset(seed=5 + i)
            assert single.step(np.zeros(1, np.float32))[1] == reward[i]
            assert single.unwrapped.goal == 2 * task[0]
    finally:
        env.close()
        single.close()


def test_a_wrapper_can_give_tasks_to_an_environment_that_has_none():
    env = make("Gravity", num_envs=2)
    try:
        assert env.task_parameter_names == ("task_0",)
        env.set_tasks(np.array([[5.0], [15.0]]))
        env.reset(seed=[3, 3])
        light, heavy = env.step(np.zeros((2, 1)))[0]
        assert abs(heavy[2]) > abs(light[2])
    finally:
        env.close()


def test_drawing_goes_on_with_the_callers_generator():
    env = make("Misbehaving", num_envs=1)
    try:
        rng, same = np.random.default_rng(4), np.random.default_rng(4)
        drawn = np.concatenate([env.sample_tasks(3, rng), env.sample_tasks(2, rng)])
        np.testing.assert_array_equal(drawn, same.uniform(-1, 1, (5, 1)))
    finally:
        env.close()


def test_training_draws_no_test_task():
    env = make("Listed", num_envs=1, options={"test": [[1], [4]]})
    try:
        np.testing.assert_array_equal(env.finite_tasks, [[0], [1], [2], [3], [4]])
        np.testing.assert_array_equal(env.test_tasks, [[1], [4]])
        drawn = env.sample_tasks(200, np.random.default_rng(0))
        np.testing.assert_array_equal(np.unique(drawn), [0, 2, 3])
        assert not np.isin(env.tasks, [1, 4]).any(), "nor are the first tasks"
    finally:
        env.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"finite": [0, 1]}, r"finite_tasks must hold a row for each task, all different, \[task"),
        ({"finite": [[0], [0]]}, "finite_tasks must hold a row for each task, all different"),
        ({"finite": [["a"]]}, "finite_tasks must hold"),
        ({"finite": [[0], [float("nan")]]}, "finite_tasks must hold"),
        ({"test": [[7]]}, "test_tasks must be some of finite_tasks"),
        ({"test": [[0], [1], [2], [3], [4]]}, "test_tasks must leave some of finite_tasks"),
        ({"highest": 9}, r"sample_tasks drew \[\d\.0\], which is not one of finite_tasks"),
        ({"finite": None, "test": [[0]], "highest": 0}, "sample_tasks draws from test_tasks alone"),
    ],
)
def test_declarations_that_cannot_be(options, told):
    with pytest.raises((ValueError, envs.EnvironmentFault), match=told):
        make("Listed", num_envs=8, options=options)


def test_the_smaller_one_of_the_two_time_limits_ends_an_episode():
    for limit, steps in ((3, 3), (9, 5), (None, 5)):
        env = make("Short", num_envs=1, max_episode_steps=limit)
        single = make_task_env("misbehaving:Short-v0", max_episode_steps=limit)
        env.reset(seed=0)
        single.get_wrapper_attr("set_task")(np.zeros(1))
        single.reset(seed=0)
        for t in range(1, steps + 1):
            assert env.step(np.zeros((1, 1)))[3].all() == (t == steps)
            assert single.step(np.zeros(1, np.float32))[3] == (t == steps)
        env.close()
        single.close()


def test_our_own_environments_take_a_longer_limit_than_that_of_their_registration():
    assert gymnasium.spec("Navigation2D-v0").max_episode_steps == 100
    single = make_task_env("Navigation2D-v0", max_episode_steps=150)
    single.reset(seed=0)
    single.get_wrapper_attr("set_task")(np.array([0.5, 0.5]))
    steps = 0
    while not any(single.step(np.array([-0.1, 0.1]))[2:4]):
        steps += 1
    assert steps == 149


def test_success_is_told_where_it_is_spoken_of():
    env = make("Misbehaving", num_envs=2, options={"where": "info", "how": "success"})
    silent = make("Misbehaving", num_envs=2)
    try:
        env.reset(seed=0)
        told = [env.step(np.zeros((2, 1)))[4]["success"].tolist() for _ in range(3)]
        assert told == [[False, False], [False, False], [True, True]]
        silent.reset(seed=0)
        assert "success" not in silent.step(np.zeros((2, 1)))[4]
    finally:
        env.close()
        silent.close()
