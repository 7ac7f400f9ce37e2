"""What simulations of a MuJoCo model look like."""

from functools import cached_property

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.appearance import FloatArray, Scene, ScenePose
from envs.offscreen import Camera, OffscreenRenderer

# MuJoCo's own: a geom of this colour takes that of its material.
_UNSET_COLOUR = np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)


class MujocoDrawing:
    """Draws from positions alone, in data of its own: looking never changes a simulation.

    Attributes:
        control_step: seconds of simulated time per step.
    """

    def __init__(
        self, model: mujoco.MjModel, qpos: FloatArray, control_step: float, camera: Camera
    ) -> None:
        """Draw simulations of `model` at `qpos`, a live view [simulation, nq]."""
        self.control_step = control_step
        self._model = model
        self._qpos = qpos
        self._camera = camera
        self._renderer: OffscreenRenderer | None = None

    @cached_property
    def scene(self) -> Scene:
        """The model's geoms."""
        model = self._model
        colour = model.geom_rgba.copy()
        material = model.geom_matid
        takes_material = (material >= 0) & (colour == _UNSET_COLOUR).all(1)
        colour[takes_material] = model.mat_rgba[material[takes_material]]
        kinds = (mujoco.mjtGeom(kind).name for kind in model.geom_type)
        return Scene(
            kind=tuple(kind.removeprefix("mjGEOM_").lower() for kind in kinds),
            size=model.geom_size.copy(),
            colour=colour.astype(np.float64),
        )

    def pose(self, simulation: int) -> ScenePose:
        """Where the geoms are at the present positions of one simulation."""
        data = self._data_at(simulation)
        return ScenePose(data.geom_xpos.copy(), data.geom_xmat.reshape(-1, 3, 3).copy())

    def frame(self, simulation: int) -> NDArray[np.uint8]:
        """A picture of the present state of one simulation; see `Drawing.frame`."""
        if self._renderer is None:
            self._renderer = OffscreenRenderer(self._model, self._camera)
        return self._renderer.frame(self._data_at(simulation))

    def close(self) -> None:
        """Release the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @cached_property
    def _data(self) -> mujoco.MjData:
        return mujoco.MjData(self._model)

    def _data_at(self, simulation: int) -> mujoco.MjData:
        """Everything that follows from the present positions of one simulation."""
        self._data.qpos[:] = self._qpos[simulation]
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)  # tracking cameras follow the centre of mass
        mujoco.mj_camlight(self._model, self._data)
        return self._data
