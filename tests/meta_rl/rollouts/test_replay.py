"""A replay is the recorded episode itself, bit for bit, with what can be seen of it."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

from meta_rl.config import config_from_mapping
from meta_rl.models.gaussian_policy import GaussianPolicy
from meta_rl.ops.params import repeat_per_task
from meta_rl.rollouts.environments import EnvironmentFault, make_env, make_single_env
from meta_rl.rollouts.replay import RecordedEpisode, recorded_episode, replay_episode
from meta_rl.rollouts.sharded_env import collect_sharded

NUM_TASKS, NUM_EPISODES, HORIZON = 2, 2, 40
SEEDS = np.array([[3, 5], [8, 13]])


class Slide(gymnasium.Env):
    """A user's environment that says nothing about how it looks."""

    def __init__(self, fault=False, noise=False):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-0.3, 0.1, (1,), np.float32)
        self.fault, self.noise = fault, noise

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(size=(num_tasks, 1))

    def set_task(self, task):
        self.goal = task[0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=1)
        return self.position.astype(np.float32), {}

    def step(self, action):
        if self.fault:
            raise ZeroDivisionError("no power")
        self.position += action + (np.random.default_rng().normal() if self.noise else 0)
        distance = abs(self.position[0] - self.goal)
        return self.position.astype(np.float32), -distance, bool(distance < 0.02), False, {}


gymnasium.register("Slide-v0", Slide)


def settings(env_id, **options):
    return config_from_mapping(
        {
            "env": {"id": env_id, "options": options},
            "rollout": {"horizon": HORIZON, "num_threads": 1},
        },
        "test",
    )


def episodes_of(env_id, **options):
    """Episodes of a random policy whose actions often leave [-1, 1]."""
    env = make_env(settings(env_id, **options), NUM_TASKS, NUM_EPISODES)
    try:
        num_actions = env.single_action_space.shape[0]
        policy = GaussianPolicy(
            env.single_observation_space.shape[0],
            num_actions,
            hidden_sizes=(8,),
            activation="tanh",
            output_scale=1.0,
            init_std=1.0,
            min_std=1e-6,
            generator=torch.Generator().manual_seed(0),
        )
        params = {name: p.detach() for name, p in policy.named_parameters()}
        shape = (NUM_TASKS, NUM_EPISODES, HORIZON, num_actions)
        return collect_sharded(
            policy,
            repeat_per_task(params, NUM_TASKS),
            env,
            env.sample_tasks(NUM_TASKS, np.random.default_rng(4)),
            reset_seeds=SEEDS.ravel().tolist(),
            noise=torch.randn(shape, generator=torch.Generator().manual_seed(1)),
        )
    finally:
        env.close()


@pytest.mark.parametrize(
    "env_id",
    [
        "Navigation2D-v0",
        "HalfCheetahVel-v0",
        "HalfCheetahDir-v0",
        "HalfCheetahVelRllab-v0",
        "HalfCheetahDirRllab-v0",
        "Slide-v0",
    ],
)
def test_every_episode_pays_again_what_it_paid_bit_for_bit(env_id):
    rollouts = episodes_of(env_id)
    env = make_single_env(settings(env_id))
    for m, e in np.ndindex(NUM_TASKS, NUM_EPISODES):
        recorded = recorded_episode(rollouts, SEEDS, m, e)
        replay = replay_episode(env, recorded)
        assert len(recorded.reward) == int(rollouts.valid[m, e].sum())
        assert np.array_equal(
            replay.reward.astype(np.float32), rollouts.reward[m, e][: len(recorded.reward)]
        )
        assert replay.exact
        assert replay.terminated == bool(rollouts.terminated[m, e].any())
        assert replay.episode_return == pytest.approx(float(rollouts.episode_return[m, e]))
    # One with another seed, task or action is another one.
    assert not replay_episode(env, replace(recorded, action=-recorded.action)).exact
    assert not replay_episode(env, replace(recorded, task=recorded.task + 0.25)).exact
    if env_id != "Navigation2D-v0":  # whose initial state is not random
        assert not replay_episode(env, replace(recorded, reset_seed=1)).exact
    env.close()


def test_navigation_shows_its_path_and_its_goal():
    rollouts = episodes_of("Navigation2D-v0")
    recorded = recorded_episode(rollouts, SEEDS, 1, 0)
    replay = replay_episode(make_single_env(settings("Navigation2D-v0")), recorded)
    path = replay.plane_position
    assert path.shape == (len(recorded.reward) + 1, 2)
    observation = rollouts.observation[1, 0].numpy()
    assert np.array_equal(path[:-1].astype(np.float32), observation[: len(path) - 1])
    assert np.array_equal(replay.goal.position, recorded.task)
    assert replay.goal.half_width == 0.01
    distance = np.linalg.norm(path[1:] - recorded.task, axis=1)
    np.testing.assert_allclose(replay.reward, -distance, rtol=1e-12)
    assert replay.scene is None and replay.pose is None and replay.tracked is None


def test_navigation_ends_inside_the_goal():
    # Four steps of .1 and one of .055 end .005 beyond the goal; the others are not taken.
    action = np.array([[1.0, 0.0]] * 4 + [[0.55, 0.0]] + [[1.0, 0.0]] * 3, np.float32)
    recorded = RecordedEpisode(np.array([0.45, 0.0]), 0, action, np.zeros(8, np.float32))
    replay = replay_episode(make_single_env(settings("Navigation2D-v0")), recorded)
    assert replay.terminated and len(replay.reward) == 5 and not replay.exact
    end = np.abs(replay.plane_position[-1] - replay.goal.position)
    assert (end < replay.goal.half_width).all()


@pytest.mark.parametrize(
    ("env_id", "control_step", "aim"),
    [
        ("HalfCheetahVel-v0", 0.05, "value"),
        ("HalfCheetahDir-v0", 0.05, "sign"),
        ("HalfCheetahVelRllab-v0", 0.01, "value"),
        ("HalfCheetahDirRllab-v0", 0.01, "sign"),
    ],
)
def test_a_cheetah_shows_its_body_and_its_velocity(env_id, control_step, aim):
    rollouts = episodes_of(env_id)
    recorded = recorded_episode(rollouts, SEEDS, 0, 1)
    replay = replay_episode(make_single_env(settings(env_id)), recorded)
    velocity, tracked = replay.tracked_value, replay.tracked
    assert replay.control_step == pytest.approx(control_step)
    assert tracked == ("forward_velocity", "m/s", recorded.task[0], aim)

    # The reward is made of the velocity and the clipped action.
    control = 0.05 * (np.clip(recorded.action, -1, 1).astype(float) ** 2).sum(1)
    error = -np.abs(velocity - tracked.target)
    wanted = error if aim == "value" else tracked.target * velocity
    np.testing.assert_allclose(replay.reward, wanted - control, rtol=1e-12, atol=1e-12)

    scene, (position, orientation) = replay.scene, replay.pose
    num_geoms = len(scene.kind)
    assert scene.kind[0] == "plane" and set(scene.kind[1:]) == {"capsule"} and num_geoms == 9
    assert scene.size.shape == (num_geoms, 3) and scene.colour.shape == (num_geoms, 4)
    assert position.shape == (HORIZON + 1, num_geoms, 3)
    product = orientation @ orientation.swapaxes(-1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-9)
    # The torso is a capsule along the body's x axis, 1 m between the centres of its ends, whose
    # height and pitch are the first two observations.
    observation = rollouts.observation[0, 1].numpy()
    np.testing.assert_allclose(position[:-1, 1, 2], 0.7 + observation[:, 0], atol=1e-5)
    axis = orientation[:-1, 1, :, 2]
    np.testing.assert_allclose(np.abs(axis[:, 2]), np.abs(np.sin(observation[:, 1])), atol=1e-5)
    assert scene.size[1, 0] == pytest.approx(0.046) and scene.size[1, 1] == pytest.approx(0.5)
    if env_id == "HalfCheetahVel-v0":  # whose velocity is that of the torso
        moved = np.diff(position[:, 1, 0]) / replay.control_step
        np.testing.assert_allclose(moved, velocity, atol=1e-9)


def test_looking_at_an_episode_does_not_change_it():
    env, unseen = (make_single_env(settings("HalfCheetahVelRllab-v0")) for _ in range(2))
    for one in (env, unseen):
        one.reset(seed=2)
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 6)).astype(np.float32)
    for action in actions:
        env.unwrapped.snapshot()
        assert np.array_equal(env.step(action)[0], unseen.step(action)[0])


def test_a_silent_environment_has_a_reward_over_time_and_nothing_else():
    recorded = recorded_episode(episodes_of("Slide-v0"), SEEDS, 0, 0)
    replay = replay_episode(make_single_env(settings("Slide-v0")), recorded)
    assert replay.exact
    for name in ("control_step", "plane_position", "goal", "tracked", "scene", "pose"):
        assert getattr(replay, name) is None


def test_an_environment_with_hidden_randomness_is_not_exact():
    recorded = recorded_episode(episodes_of("Slide-v0", noise=True), SEEDS, 0, 0)
    replay = replay_episode(make_single_env(settings("Slide-v0", noise=True)), recorded)
    assert not replay.exact


def test_an_environment_that_raises_is_named():
    recorded = RecordedEpisode(np.zeros(1), 0, np.zeros((3, 1), np.float32), np.zeros(3))
    env = make_single_env(settings("Slide-v0", fault=True))
    with pytest.raises(EnvironmentFault, match="in a replay: ZeroDivisionError: no power"):
        replay_episode(env, recorded)


def test_the_colours_are_the_models():
    env = make_single_env(settings("HalfCheetahVel-v0"))
    scene = env.unwrapped.appearance().scene
    np.testing.assert_allclose(scene.colour[0], [0.8, 0.9, 0.8, 1.0], rtol=1e-6)
    np.testing.assert_allclose(scene.colour[1], [0.8, 0.6, 0.4, 1.0], rtol=1e-6)
