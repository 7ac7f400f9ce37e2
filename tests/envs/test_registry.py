"""What a user reads who asks for an environment that cannot be made."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import envs


def test_an_unknown_id_is_answered_with_the_closest():
    with pytest.raises(ValueError, match=r"did you mean HalfCheetahVel-v0\?"):
        envs.make_task_vector_env("HalfCheetaVel-v0", 2)


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match="the module no_such_module cannot be found"):
        envs.make_task_vector_env("no_such_module:Env-v0", 2)


def test_an_unknown_option_is_answered_with_those_that_exist():
    with pytest.raises(ValueError, match=r"no option 'velocity_rang' \(did you mean velocity_r"):
        envs.make_task_vector_env("HalfCheetahVel-v0", 2, options={"velocity_rang": [0, 3]})
    with pytest.raises(ValueError, match="no option 'num_threads'; it has none"):
        envs.make_task_vector_env("Navigation2D-v0", 2, options={"num_threads": 3})
    with pytest.raises(ValueError, match="no option 'scale'"):
        gymnasium.make("Navigation2D-v0", scale=3)


def test_options_and_time_limit_reach_our_environments():
    env = envs.make_task_vector_env(
        "HalfCheetahVel-v0", 2, max_episode_steps=1, options={"velocity_range": (5.0, 5.0)}
    )
    assert (env.tasks == 5.0).all()
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[3].all()


def test_an_environment_without_tasks_is_refused():
    with pytest.raises(ValueError, match="PendulumEnv has no method sample_tasks and no method"):
        envs.make_task_vector_env("Pendulum-v1", 2)


def test_a_users_bad_option_is_one_sentence():
    with pytest.raises(ValueError, match="Pendulum-v1 cannot be made with the options"):
        envs.make_task_vector_env("Pendulum-v1", 2, options={"no_such_option": 1})


def test_spaces_that_no_policy_fits_are_refused():
    class Words(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = gymnasium.spaces.Text(2)

        def sample_tasks(self, num_tasks, rng):
            return rng.normal(size=(num_tasks, 1))

        def set_task(self, task):
            """Nothing."""

    gymnasium.register("Words-v0", Words)
    try:
        with pytest.raises(ValueError, match="must be a Box, Discrete or MultiDiscrete, not Text"):
            envs.make_task_vector_env("Words-v0", 2)
    finally:
        gymnasium.registry.pop("Words-v0")


def test_importing_envs_imports_neither_torch_nor_mujoco():
    code = (
        "import sys, envs; print([m for m in ('torch', 'mujoco', 'meta_rl') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "[]\n"
