"""The half-cheetahs against Gymnasium and against MuJoCo used by hand."""

import subprocess
import sys
from copy import copy
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest
from mujoco.batch import SimulationError

import envs
from envs.batched_mujoco import compile_model, load_gymnasium_spec

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Gymnasium's own HalfCheetah, and a divergence, write MUJOCO_LOG.TXT where they run."""
    monkeypatch.chdir(tmp_path)


def test_gym_scale_is_bit_identical_to_gymnasium():
    seeds = [11, 12, 13]
    env = envs.make_task_vector_env("HalfCheetahVel-v0", 3, num_threads=2)
    tasks = np.array([[0.0], [0.7], [2.0]])
    env.set_tasks(tasks)
    references = [gymnasium.make("HalfCheetah-v5").unwrapped for _ in seeds]
    observation, _ = env.reset(seed=seeds)
    for row, reference in enumerate(references):
        np.testing.assert_array_equal(observation[row], reference.reset(seed=seeds[row])[0])
    actions = np.random.default_rng(0).uniform(-1, 1, (200, 3, 6)).astype(np.float32)
    for action in actions:
        observation, reward, _, _, info = env.step(action)
        for row, reference in enumerate(references):
            expected, _, _, _, expected_info = reference.step(action[row])
            np.testing.assert_array_equal(observation[row], expected)
            u = action[row].astype(np.float64)
            speed_term = -abs(expected_info["x_velocity"] - tasks[row, 0])
            np.testing.assert_allclose(info["reward_velocity"][row], speed_term, rtol=1e-14)
            np.testing.assert_allclose(reward[row], speed_term - 0.05 * u @ u, rtol=1e-12)


def rllab_cheetah_by_hand(qpos, qvel, actions):
    """Observations and velocities of one simulation, by plain calls of MuJoCo."""
    model = compile_model(load_gymnasium_spec("half_cheetah.xml"))
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_forward(model, data)
    torso = model.body("torso").id
    for action in actions:
        data.ctrl[:] = action
        mujoco.mj_step(model, data)
        # On a copy, since a forward pass would change the warm start of the next step.
        at_new_state = copy(data)
        mujoco.mj_forward(model, at_new_state)
        mujoco.mj_subtreeVel(model, at_new_state)
        centre = at_new_state.subtree_com[torso]
        yield (
            np.concatenate((data.qpos[1:], data.qvel, centre)),
            at_new_state.subtree_linvel[torso, 0],
        )


def centre_of_mass(qpos):
    model = compile_model(load_gymnasium_spec("half_cheetah.xml"))
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    return data.subtree_com[model.body("torso").id]


def test_rllab_scale_follows_mujoco_by_hand():
    env = envs.make_task_vector_env("HalfCheetahDirRllab-v0", 2, num_threads=2)
    env.set_tasks(np.array([[1.0], [-1.0]]))
    observation, _ = env.reset(seed=[3, 4])
    rngs = [np.random.default_rng(3), np.random.default_rng(4)]
    actions = np.random.default_rng(1).uniform(-1, 1, (200, 2, 6))
    by_hand = []
    for row, rng in enumerate(rngs):
        qpos, qvel = 0.01 * rng.standard_normal(9), 0.1 * rng.standard_normal(9)
        np.testing.assert_array_equal(observation[row, :17], np.concatenate((qpos[1:], qvel)))
        by_hand.append(rllab_cheetah_by_hand(qpos, qvel, actions[:, row]))
        # The centre of mass is that of the drawn state, so it differs from the rest pose's.
        np.testing.assert_allclose(observation[row, 17:], centre_of_mass(qpos), atol=1e-12)
    for action in actions:
        observation, reward, _, _, info = env.step(action)
        for row, direction in enumerate((1.0, -1.0)):
            expected, velocity = next(by_hand[row])
            np.testing.assert_allclose(observation[row], expected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(
                info["reward_forward"][row], direction * velocity, rtol=1e-9, atol=1e-12
            )
            cost = 0.05 * np.square(action[row]).sum()
            np.testing.assert_allclose(reward[row], direction * velocity - cost, atol=1e-9)


def test_the_action_is_clipped_before_it_is_paid_for():
    env = envs.make_task_vector_env("HalfCheetahDir-v0", 1)
    env.reset(seed=0)
    *_, info = env.step(np.full((1, 6), 3.0))
    np.testing.assert_allclose(info["reward_control"], -0.05 * 6)


@pytest.mark.parametrize("env_id", ["HalfCheetahDir-v0", "HalfCheetahDirRllab-v0"])
def test_directions_are_both_and_only_forward_and_backward(env_id):
    env = envs.make_task_vector_env(env_id, 1)
    tasks = env.sample_tasks(1000, np.random.default_rng(0))
    assert set(tasks.ravel()) == {-1.0, 1.0}
    assert abs(tasks.mean()) < 0.1


def test_velocity_range_is_an_option():
    env = envs.make_task_vector_env("HalfCheetahVel-v0", 1, options={"velocity_range": [2.5, 3.0]})
    tasks = env.sample_tasks(100, np.random.default_rng(0))
    assert tasks.min() >= 2.5
    assert tasks.max() <= 3.0
    with pytest.raises(ValueError, match="velocity_range must be two finite numbers"):
        envs.make_task_vector_env("HalfCheetahVel-v0", 1, options={"velocity_range": [3.0, 2.0]})


def test_the_model_is_gymnasiums_to_the_bit():
    reference = gymnasium.make("HalfCheetah-v5").unwrapped.model
    model = compile_model(load_gymnasium_spec("half_cheetah.xml"))
    for name in ("body_mass", "body_inertia", "dof_invweight0", "body_invweight0", "dof_M0"):
        np.testing.assert_array_equal(getattr(model, name), getattr(reference, name))


def test_loading_is_silent_and_writes_nothing(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import envs;"
        "env = envs.make_task_vector_env('HalfCheetahVelRllab-v0', 2); env.reset(seed=0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout + result.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_simulation_in_which_mujoco_raises_counts_as_diverged(monkeypatch):
    env = envs.make_task_vector_env("HalfCheetahVel-v0", 3, num_threads=1)
    env.reset(seed=0)

    def fail(ids, nstep, stage):
        raise SimulationError(np.array([2]), "stack overflow", 3)

    monkeypatch.setattr(env.dynamics._physics._batch, "step", fail)
    _, reward, terminated, _, _ = env.step(np.zeros((3, 6)))
    np.testing.assert_array_equal(terminated, [False, False, True])
    assert reward[2] == 0


@pytest.mark.parametrize("env_id", ["HalfCheetahVel-v0", "HalfCheetahVelRllab-v0"])
def test_a_diverged_simulation_terminates_with_finite_numbers(env_id):
    env = envs.make_task_vector_env(env_id, 3, num_threads=1)
    last, _ = env.reset(seed=0)
    env.dynamics._physics.qvel[1] = 1e200
    action = np.full((3, 6), 0.5)
    observation, reward, terminated, truncated, info = env.step(action)
    np.testing.assert_array_equal(info["diverged"], [False, True, False])
    np.testing.assert_array_equal(terminated, [False, True, False])
    assert not truncated.any()
    np.testing.assert_array_equal(observation[1], last[1])
    assert np.isfinite(observation).all()
    assert reward[1] == 0
    assert (reward[[0, 2]] != 0).all()
    again, reward, terminated, _, info = env.step(action)
    np.testing.assert_array_equal(again[1], last[1])
    assert terminated[1]
    assert info["diverged"][1]

    # Reset heals it.
    healed, _ = env.reset(seed=0)
    np.testing.assert_array_equal(healed, last)
    _, _, terminated, _, _ = env.step(action)
    assert not terminated.any()
