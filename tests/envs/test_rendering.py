"""Pictures of the simulations, and a sentence where there can be none."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs

assert envs  # registers the environments
pytestmark = pytest.mark.needs("EGL")
REPOSITORY = Path(__file__).parents[2]
CHEETAHS = [
    "HalfCheetahVel-v0",
    "HalfCheetahDir-v0",
    "HalfCheetahVelRllab-v0",
    "HalfCheetahDirRllab-v0",
]


def make(env_id, render_mode="rgb_array"):
    return gymnasium.make(env_id, render_mode=render_mode, disable_env_checker=True)


@pytest.mark.parametrize("env_id", CHEETAHS)
def test_a_picture_shows_the_present_state_and_leaves_it_alone(env_id):
    env, unseen = make(env_id), make(env_id, render_mode=None)
    assert env.metadata["render_fps"] == (100 if "Rllab" in env_id else 20)
    for one in (env, unseen):
        one.reset(seed=1)
    first = env.render()
    assert first.shape == (240, 320, 3) and first.dtype == np.uint8
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 100, "not blank"
    assert np.array_equal(first, env.render()), "the same state is the same picture"
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 6)).astype(np.float32):
        moved, unseen_moved = env.step(action)[0], unseen.step(action)[0]
        env.render()
        assert np.array_equal(moved, unseen_moved)
    assert (env.render() != first).any()
    assert unseen.render() is None
    env.close()


def body_column(frame):
    """The mean column of the pixels that have the body's colour, in which red beats blue."""
    is_body = frame[..., 0].astype(int) > frame[..., 2].astype(int) + 30
    assert is_body.sum() > 300
    return np.nonzero(is_body)[1].mean()


def test_the_camera_goes_along():
    env = make("HalfCheetahVel-v0")
    env.reset(seed=0)
    physics = env.unwrapped._batch.dynamics._physics
    columns = []
    for x in (0.0, 7.3, -25.0):
        physics.qpos[0, 0] = x
        columns.append(body_column(env.render()))
    # The same place in the picture, but for the light.
    np.testing.assert_allclose(columns, columns[0], atol=2.0)
    assert abs(columns[0] - 160) < 40
    env.close()


def test_two_environments_draw_in_turn():
    one, other = make("HalfCheetahVel-v0"), make("HalfCheetahVelRllab-v0")
    one.reset(seed=0), other.reset(seed=1)
    first, second = one.render(), other.render()
    assert (first != second).any()
    assert np.array_equal(one.render(), first)
    one.close()
    assert np.array_equal(other.render(), second)
    other.close()


def test_other_render_modes_are_refused():
    with pytest.raises(ValueError, match="render_mode should be 'rgb_array', not 'human'"):
        make("HalfCheetahVel-v0", render_mode="human")
    with pytest.raises(ValueError, match="render_mode should be none, not 'rgb_array'"):
        make("Navigation2D-v0")


DRAW = """
import gymnasium, envs
env = gymnasium.make("HalfCheetahVel-v0", render_mode="rgb_array")
env.reset(seed=0)
print(env.render().std())
"""


def draw_in_a_process(tmp_path, **variables):
    unset = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    environment = {**kept, "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning:glfw", "-c", DRAW],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )


@pytest.mark.needs("Linux")
def test_without_a_screen_nothing_has_to_be_set(tmp_path):
    done = draw_in_a_process(tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 1
    assert not list(tmp_path.iterdir()), "MuJoCo's log"


@pytest.mark.needs("Linux")
@pytest.mark.parametrize("platform", ["disable", "glfw"])
def test_where_nothing_can_draw_a_sentence_says_what_to_install(tmp_path, platform):
    done = draw_in_a_process(tmp_path, MUJOCO_GL=platform)
    assert done.returncode != 0
    assert "RenderingError: this machine cannot draw" in done.stderr.splitlines()[-1]
    assert "install libegl1, libopengl0 and libgl1-mesa-dri" in done.stderr
    assert not list(tmp_path.iterdir())
