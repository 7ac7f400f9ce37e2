"""The side view of solids is the simulation's, known poses first and then a real robot."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from meta_rl.config import load_config
from meta_rl.evaluation.evaluator import evaluate_model
from meta_rl.evaluation.saved_model import SavedModel, untrained_model
from meta_rl.reporting.report.recorded_replays import record_replays
from meta_rl.reporting.report.replays_data import replays_data
from meta_rl.reporting.report.solid_poses import (
    drawn_solids,
    greatest_height,
    numbers_per_moment,
    packed_poses,
    undrawn_kinds,
)
from meta_rl.reporting.report.task_choice import ChosenTask
from meta_rl.rollouts.replay import Replay, Scene, ScenePose
from meta_rl.rollouts.sampler import single_torch_thread


def unpack(packed):
    integers = np.frombuffer(base64.b64decode(packed["data"]), dtype=f"<i{packed['bits'] // 8}")
    return integers * packed["unit"]


def resting(kind, size, position, orientation, num_moments=2):
    """A replay in which solids stand still; a ground 1 m up comes first."""
    scene = Scene(
        ("plane", *kind), np.array([[9, 9, 9], *size], dtype=float), np.ones((1 + len(kind), 4))
    )
    positions = np.array([[0, 0, 1], *position], dtype=float)
    orientations = np.array([np.eye(3), *orientation])
    pose = ScenePose(
        np.repeat(positions[None], num_moments, 0), np.repeat(orientations[None], num_moments, 0)
    )
    return Replay(
        task=np.zeros(1),
        reward=np.zeros(num_moments - 1),
        terminated=False,
        exact=True,
        scene=scene,
        pose=pose,
    )


# The own z axis turned to the world's x.
LYING = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def test_known_poses_give_centres_and_half_axes():
    replay = resting(
        kind=("sphere", "capsule", "box"),
        size=((0.5, 0, 0), (0.1, 0.7, 0), (0.2, 0.3, 0.4)),
        position=((3, 8, 2), (3, 0, 1.5), (3, 0, 3)),
        orientation=(np.eye(3), LYING, LYING),
    )
    packed = packed_poses(replay)
    assert unpack(packed["camera"]).tolist() == [3.0, 3.0]
    expected = [
        *(0, 1),  # the sphere, 1 m above the ground
        *(0, 0.5, 0.7, 0),  # the capsule lies along x
        *(0, 2, 0, -0.2, 0, 0, 0.4, 0),  # the box: x points down, y at the reader, z along x
    ]
    moments = unpack(packed["poses"]).reshape(2, -1)
    np.testing.assert_allclose(moments, [expected, expected], atol=1e-9)
    assert numbers_per_moment(replay.scene) == len(expected)
    assert [solid["kind"] for solid in drawn_solids(replay.scene)] == ["sphere", "capsule", "box"]
    assert greatest_height(replay) == 2.0


def test_kinds_that_cannot_be_drawn_are_named():
    replay = resting(("sphere", "mesh"), ((1, 0, 0),) * 2, ((0, 0, 2),) * 2, (np.eye(3),) * 2)
    assert undrawn_kinds(replay.scene) == ["mesh"]
    assert len(drawn_solids(replay.scene)) == 1


@pytest.fixture(scope="module")
def cheetah():
    config = load_config(
        "half_cheetah_vel",
        [
            *("run.device=cpu", "rollout.num_threads=1", "rollout.horizon=30"),
            *(
                "policy.hidden_sizes=[4]",
                "evaluation.num_tasks=3",
                "meta_update.curvature_stride=1",
            ),
            *("evaluation.episodes_per_task=2", "evaluation.num_adaptation_steps=1"),
        ],
    )
    with single_torch_thread():
        saved = untrained_model(SavedModel(None, 0, {}, config))
        evaluation = evaluate_model(saved)
    return evaluation, record_replays(config, evaluation, [ChosenTask(2, "why")], num_paths=5)


def test_the_first_episode_is_played_again_exactly(cheetah):
    evaluation, (shown,) = cheetah
    for step, replay in enumerate(shown.first_replays):
        assert replay.exact
        recorded = float(evaluation.curve.value[2, step, 0])
        assert replay.episode_return == pytest.approx(recorded, rel=1e-5)


def test_the_page_gets_what_was_simulated(cheetah):
    _, (shown,) = cheetah
    data = replays_data([shown], "run")
    replay = shown.first_replays[1]
    (task,) = data["tasks"]
    step = task["steps"][1]
    camera = unpack(step["camera"])
    poses = unpack(step["poses"]).reshape(len(camera), data["numbers_per_moment"])
    torso = replay.pose.position[:, replay.scene.kind.index("capsule")]
    np.testing.assert_allclose(camera + poses[:, 0], torso[:, 0], atol=0.0021)
    np.testing.assert_allclose(poses[:, 1], torso[:, 2], atol=0.0011)
    np.testing.assert_allclose(step["reward"], replay.reward, atol=1e-4)
    np.testing.assert_allclose(step["signal"], replay.tracked_value, atol=1e-3)
    assert task["target"] == shown.episodes.task[0]
    assert data["seconds_per_step"] == pytest.approx(0.05)
    low, high = data["signal"]["range"]
    assert low < min(step["signal"]) <= max(step["signal"]) < high
    assert low < task["target"] < high


def test_an_environment_that_shows_nothing_has_no_replays(cheetah):
    _, (shown,) = cheetah
    bare = Replay(task=np.zeros(1), reward=np.zeros(3), terminated=False, exact=True)
    hidden = replace(shown.episodes, replays=((bare,), (bare,)))
    assert replays_data([replace(shown, episodes=hidden)], "run") is None
