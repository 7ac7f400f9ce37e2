"""MuJoCo for many simulations at once, on MuJoCo's own pool of threads."""

from pathlib import Path

import gymnasium.envs.mujoco
import mujoco
import numpy as np
from gymnasium.spaces import Box
from mujoco.batch import Batch, SimulationError

from envs.task_env import BoolArray, FloatArray, IntArray

# MuJoCo calls positions, velocities and accelerations beyond 1e10 unstable. Accelerations inside a
# control step are not seen from here, but velocities that they leave behind are beyond this bound.
_LARGEST_STABLE_VALUE = 1e6


def load_gymnasium_spec(file_name: str) -> mujoco.MjSpec:
    """The editable description of one of the robots that Gymnasium ships."""
    folder = Path(gymnasium.envs.mujoco.__file__).parent / "assets"
    return mujoco.MjSpec.from_file(str(folder / file_name))


def compile_model(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """Compile `spec` for batched stepping.

    The compiler's `settotalmass` is deprecated: it prints a warning and writes MUJOCO_LOG.TXT
    into the user's folder. Scaling the masses after compiling gives the same numbers in
    silence. MuJoCo's silent reset of unstable states is off, so that a divergence is seen.
    """
    total_mass = spec.compiler.settotalmass
    spec.compiler.settotalmass = -1
    model = spec.compile()
    if total_mass > 0:
        mujoco.mj_setTotalmass(model, total_mass)
        mujoco.mj_setConst(model, mujoco.MjData(model))
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return model


def control_box(model: mujoco.MjModel) -> Box:
    """The action space that Gymnasium gives the model: its actuators' control ranges."""
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    return Box(low, high, dtype=np.float32)


class BatchedMujoco:
    """Simulations of one model, each at its own state.

    Attributes:
        num_simulations: how many.
        control_step: seconds of simulated time per `step`.
        qpos: positions, a live view [num_simulations, nq].
        qvel: velocities, a live view [num_simulations, nv].
        sensordata: sensors, live [num_simulations, sensor]; current after `step` only with
            `sense_new_state`, otherwise one substep old, as in MuJoCo itself.
        subtree_com: centre of mass of each body's subtree, live [num_simulations, body, 3],
            as old as `sensordata`; metres.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        num_simulations: int,
        *,
        frame_skip: int,
        num_threads: int,
        sense_new_state: bool = False,
    ) -> None:
        """Start simulations.

        Args:
            model: from `compile_model`.
            num_simulations: how many.
            frame_skip: MuJoCo steps per control step.
            num_threads: 0 for one per CPU.
            sense_new_state: after each step, bring what depends on position and velocity up to
                the new state.
        """
        self.num_simulations = num_simulations
        self.control_step = model.opt.timestep * frame_skip
        self._frame_skip = frame_skip
        self._stage = (
            mujoco.mjtStage.mjSTAGE_VEL if sense_new_state else mujoco.mjtStage.mjSTAGE_NONE
        ).value
        # Persistent data lets the next step go on from the stages already computed, so that
        # sensing the new state costs nothing extra.
        self._batch = Batch(model, num_simulations, num_threads, persistent=sense_new_state)
        self.qpos: FloatArray = self._batch.bind("qpos")
        self.qvel: FloatArray = self._batch.bind("qvel")
        self._ctrl: FloatArray = self._batch.bind("ctrl")
        if sense_new_state:
            self.sensordata: FloatArray = self._batch.bind("sensordata")
            self.subtree_com: FloatArray = self._batch.bind("subtree_com")

    def set_state(self, ids: IntArray | None, qpos: FloatArray, qvel: FloatArray) -> None:
        """Restart simulations at a state.

        Args:
            ids: sorted simulation indices, or None for all.
            qpos: positions [simulation, nq].
            qvel: velocities [simulation, nv].
        """
        rows: slice | IntArray = slice(None) if ids is None else ids
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.qpos[rows] = qpos
        self.qvel[rows] = qvel
        self._batch.forward(ids)

    def step(self, ids: IntArray | None, control: FloatArray) -> BoolArray:
        """Advance simulations by one control step.

        Args:
            ids: sorted simulation indices, or None for all.
            control: [simulation, actuator].

        Returns:
            Where the simulation diverged, [simulation]: MuJoCo raised an error, or the new
            state is not finite or beyond all bounds.
        """
        rows: slice | IntArray = slice(None) if ids is None else ids
        failed = np.zeros(self.num_simulations, dtype=np.bool_)
        self._ctrl[rows] = control
        try:
            self._batch.step(ids, nstep=self._frame_skip, stage=self._stage)
        except SimulationError as error:
            failed[error.ids] = True
        # Written so that NaN, which compares false, counts as unstable.
        stable = (np.abs(self.qpos[rows]) < _LARGEST_STABLE_VALUE).all(axis=1)
        stable &= (np.abs(self.qvel[rows]) < _LARGEST_STABLE_VALUE).all(axis=1)
        return failed[rows] | ~stable
