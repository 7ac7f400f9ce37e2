"""The half-cheetah at the two scales of the literature, with its two task families.

Returns at the two scales are not comparable: a control step is 0.05 s at Gymnasium's scale and
0.01 s at rllab's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from gymnasium.spaces import Box

from envs.appearance import TrackedQuantity
from envs.batched_mujoco import BatchedMujoco, compile_model, control_box, load_gymnasium_spec
from envs.mujoco_drawing import MujocoDrawing
from envs.offscreen import Camera
from envs.task_env import BoolArray, Dynamics, FloatArray, IntArray, TaskFamily

_MODEL_FILE = "half_cheetah.xml"
_CONTROL_COST = 0.05
_CAMERA = Camera("torso", height=0.55, distance=2.8, azimuth=90.0, elevation=-18.0)


class CheetahMotion(NamedTuple):
    """One control step of the half-cheetah.

    Attributes:
        observation: [simulation, observation].
        diverged: bool [simulation].
        forward_velocity: [simulation], metres per second.
    """

    observation: FloatArray
    diverged: BoolArray
    forward_velocity: FloatArray


class GymScaleCheetah:
    """Gymnasium's HalfCheetah-v5: the same states, bit for bit, from the same seed.

    Observation (17): positions without x (8: m, rad), velocities (9: m/s, rad/s).
    `forward_velocity` is the x displacement over the control step of 0.05 s.
    """

    def __init__(self, num_simulations: int, num_threads: int) -> None:
        """Start simulations; `num_threads` 0 is one per CPU."""
        model = compile_model(_spec())
        self._physics = BatchedMujoco(model, num_simulations, frame_skip=5, num_threads=num_threads)
        self._initial_qpos = model.qpos0.copy()
        self.drawing = _drawing(model, self._physics)
        self.num_simulations = num_simulations
        self.observation_space: Box = Box(-np.inf, np.inf, (model.nq - 1 + model.nv,), np.float64)
        self.action_space: Box = control_box(model)

    def reset(self, ids: IntArray | None, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Rest pose plus U[-.1, .1] on positions and .1 N(0, 1) on velocities."""
        num_q, num_v = self._physics.qpos.shape[1], self._physics.qvel.shape[1]
        qpos = np.empty((len(generators), num_q))
        qvel = np.empty((len(generators), num_v))
        for row, generator in enumerate(generators):
            # In the order in which Gymnasium draws them.
            qpos[row] = self._initial_qpos + generator.uniform(low=-0.1, high=0.1, size=num_q)
            qvel[row] = 0.1 * generator.standard_normal(num_v)
        self._physics.set_state(ids, qpos, qvel)
        return self._observation(slice(None) if ids is None else ids)

    def step(self, ids: IntArray | None, action: FloatArray) -> CheetahMotion:
        """Advance by 0.05 s."""
        rows: slice | IntArray = slice(None) if ids is None else ids
        x_before = self._physics.qpos[rows, 0].copy()
        diverged = self._physics.step(ids, action)
        velocity = (self._physics.qpos[rows, 0] - x_before) / self._physics.control_step
        return CheetahMotion(self._observation(rows), diverged, velocity)

    def _observation(self, rows: slice | IntArray) -> FloatArray:
        return np.concatenate((self._physics.qpos[rows, 1:], self._physics.qvel[rows]), axis=1)


class RllabScaleCheetah:
    """The half-cheetah of rllab, in which the MAML paper's numbers were measured.

    Observation (20): positions without x (8: m, rad), velocities (9: m/s, rad/s), centre of
    mass of the whole body (3: m). `forward_velocity` is the x velocity of the whole body's
    centre of mass at the new state. A control step is 0.01 s.
    """

    def __init__(self, num_simulations: int, num_threads: int) -> None:
        """Start simulations; `num_threads` 0 is one per CPU."""
        spec = _spec()
        # The only sensor of the model, so its three numbers are all of sensordata.
        spec.add_sensor(
            name="body_velocity",
            type=mujoco.mjtSensor.mjSENS_SUBTREELINVEL,
            objtype=mujoco.mjtObj.mjOBJ_BODY,
            objname="torso",
        )
        model = compile_model(spec)
        assert model.nsensordata == 3
        self._physics = BatchedMujoco(
            model, num_simulations, frame_skip=1, num_threads=num_threads, sense_new_state=True
        )
        self._torso = model.body("torso").id
        self._initial_qpos = model.qpos0.copy()
        self.drawing = _drawing(model, self._physics)
        self.num_simulations = num_simulations
        self.observation_space: Box = Box(
            -np.inf, np.inf, (model.nq - 1 + model.nv + 3,), np.float64
        )
        self.action_space: Box = control_box(model)

    def reset(self, ids: IntArray | None, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Rest pose plus .01 N(0, 1) on positions and .1 N(0, 1) on velocities."""
        num_q, num_v = self._physics.qpos.shape[1], self._physics.qvel.shape[1]
        qpos = np.empty((len(generators), num_q))
        qvel = np.empty((len(generators), num_v))
        for row, generator in enumerate(generators):
            qpos[row] = self._initial_qpos + 0.01 * generator.standard_normal(num_q)
            qvel[row] = 0.1 * generator.standard_normal(num_v)
        self._physics.set_state(ids, qpos, qvel)
        return self._observation(slice(None) if ids is None else ids)

    def step(self, ids: IntArray | None, action: FloatArray) -> CheetahMotion:
        """Advance by 0.01 s."""
        rows: slice | IntArray = slice(None) if ids is None else ids
        diverged = self._physics.step(ids, action)
        velocity = self._physics.sensordata[rows, 0].copy()
        return CheetahMotion(self._observation(rows), diverged, velocity)

    def _observation(self, rows: slice | IntArray) -> FloatArray:
        physics = self._physics
        parts = (physics.qpos[rows, 1:], physics.qvel[rows], physics.subtree_com[rows, self._torso])
        return np.concatenate(parts, axis=1)


def _spec() -> mujoco.MjSpec:
    """Gymnasium's half-cheetah, on a floor that does not draw the eye from it."""
    spec = load_gymnasium_spec(_MODEL_FILE)
    floor = spec.texture("texplane")
    floor.rgb1, floor.rgb2 = (0.42, 0.46, 0.50), (0.58, 0.62, 0.66)
    return spec


def _drawing(model: mujoco.MjModel, physics: BatchedMujoco) -> MujocoDrawing:
    return MujocoDrawing(model, physics.qpos, physics.control_step, _CAMERA)


def _control_reward(action: FloatArray) -> FloatArray:
    """-.05 ||u||^2 of the clipped action, [simulation]."""
    return -_CONTROL_COST * np.einsum("sa,sa->s", action, action)


def _forward_velocity(motion: CheetahMotion) -> FloatArray:
    return motion.forward_velocity


def _only_entry(tasks: FloatArray) -> FloatArray:
    """The target velocity (m/s) or direction, [simulation]."""
    return tasks[:, 0]


def velocity_family(velocity_range: Sequence[float] = (0.0, 2.0)) -> TaskFamily[CheetahMotion]:
    """Run forward at a target speed v* ~ U[velocity_range] (m/s): -|v - v*| - .05 ||u||^2.

    Finn, Abbeel, Levine 2017 (arXiv 1703.03400), section 5.3, with v* ~ U[0, 2]; other papers
    use U[0, 3].
    """
    if len(velocity_range) != 2 or not -np.inf < velocity_range[0] <= velocity_range[1] < np.inf:
        raise ValueError(
            f"velocity_range must be two finite numbers in ascending order, not {velocity_range!r}."
        )
    low, high = velocity_range

    def sample(num_tasks: int, rng: np.random.Generator) -> FloatArray:
        return rng.uniform(low, high, size=(num_tasks, 1))

    def reward_terms(
        motion: CheetahMotion, action: FloatArray, tasks: FloatArray
    ) -> dict[str, FloatArray]:
        return {
            "reward_velocity": -np.abs(motion.forward_velocity - tasks[:, 0]),
            "reward_control": _control_reward(action),
        }

    tracked = TrackedQuantity("forward_velocity", "m/s", _forward_velocity, _only_entry, "value")
    task_range = np.array([[low], [high]], dtype=np.float64)
    return TaskFamily(("velocity",), sample, reward_terms, tracked=tracked, task_range=task_range)


def direction_family() -> TaskFamily[CheetahMotion]:
    """Run forward (+1) or backward (-1), at equal odds: direction * v - .05 ||u||^2.

    Finn, Abbeel, Levine 2017 (arXiv 1703.03400), section 5.3.
    """
    directions = np.array([[-1.0], [1.0]])

    def sample(num_tasks: int, rng: np.random.Generator) -> FloatArray:
        return rng.choice(directions[:, 0], size=(num_tasks, 1))

    def reward_terms(
        motion: CheetahMotion, action: FloatArray, tasks: FloatArray
    ) -> dict[str, FloatArray]:
        return {
            "reward_forward": tasks[:, 0] * motion.forward_velocity,
            "reward_control": _control_reward(action),
        }

    tracked = TrackedQuantity("forward_velocity", "m/s", _forward_velocity, _only_entry, "sign")
    return TaskFamily(
        ("direction",),
        sample,
        reward_terms,
        tracked=tracked,
        task_range=directions,
        finite_tasks=directions,
    )


Parts = tuple[Dynamics[CheetahMotion], TaskFamily[CheetahMotion]]


def gym_scale_velocity(
    num_envs: int, num_threads: int, velocity_range: Sequence[float] = (0.0, 2.0)
) -> Parts:
    """Parts of HalfCheetahVel."""
    return GymScaleCheetah(num_envs, num_threads), velocity_family(velocity_range)


def gym_scale_direction(num_envs: int, num_threads: int) -> Parts:
    """Parts of HalfCheetahDir."""
    return GymScaleCheetah(num_envs, num_threads), direction_family()


def rllab_scale_velocity(
    num_envs: int, num_threads: int, velocity_range: Sequence[float] = (0.0, 2.0)
) -> Parts:
    """Parts of HalfCheetahVelRllab."""
    return RllabScaleCheetah(num_envs, num_threads), velocity_family(velocity_range)


def rllab_scale_direction(num_envs: int, num_threads: int) -> Parts:
    """Parts of HalfCheetahDirRllab."""
    return RllabScaleCheetah(num_envs, num_threads), direction_family()
