"""Pictures of MuJoCo simulations without a window, quickly also where no GPU draws them."""

import os
import sys
import warnings
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.appearance import FloatArray, RenderingError
from envs.screen_order import load_before_a_screen

WIDTH, HEIGHT = 320, 240  # pixels

_CANNOT_DRAW = (
    "this machine cannot draw MuJoCo's pictures; where there is no screen, EGL draws: on Debian, "
    "install libegl1, libopengl0 and libgl1-mesa-dri, and leave MUJOCO_GL unset or set it to egl"
)


class Camera(NamedTuple):
    """A camera that goes along with a body, without its ups and downs.

    Attributes:
        body: name of the body.
        height: of the point that it looks at, metres.
        distance: from that point, metres.
        azimuth: degrees; 90 looks along the y axis, so that the x axis points to the right.
        elevation: degrees, negative when looking down.
    """

    body: str
    height: float
    distance: float
    azimuth: float
    elevation: float


class OffscreenRenderer:
    """Draws one model.

    `mujoco.Renderer` would choose its way of drawing when mujoco is imported, by MUJOCO_GL; this
    one also draws where nothing was set. Without shadows, reflections and multisampling, software
    rendering is about ten times as fast.
    """

    def __init__(self, model: mujoco.MjModel, camera: Camera) -> None:
        """Prepare to draw.

        Raises:
            RenderingError: this machine cannot.
        """
        self._model = model
        self._body = model.body(camera.body).id
        self._height = camera.height
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.distance = camera.distance
        self._camera.azimuth, self._camera.elevation = camera.azimuth, camera.elevation
        self._option = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=1_000)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False
        self._rectangle = mujoco.MjrRect(0, 0, WIDTH, HEIGHT)
        self._gl: Any = None
        load_before_a_screen()
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth, model.vis.global_.offheight = WIDTH, HEIGHT
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # GLFW's, which tell less than our sentence
                self._gl = _gl_context_class()(WIDTH, HEIGHT)
                self._gl.make_current()
                self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except Exception as error:  # each OpenGL platform fails in its own way
            raise RenderingError(_CANNOT_DRAW) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def frame(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """The picture of a state whose positions are up to date, [HEIGHT, WIDTH, 3]."""
        centre: FloatArray = data.subtree_com[self._body]
        self._camera.lookat[:] = centre[0], centre[1], self._height
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._rectangle, self._context)
        return pixels[::-1].copy()  # OpenGL's first row is the lowest

    def close(self) -> None:
        """Release what the graphics driver holds."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _gl_context_class() -> Any:
    """MuJoCo's OpenGL context: the one that MUJOCO_GL chose, or EGL where there is no screen.

    `mujoco.GLContext` itself follows what MUJOCO_GL was when mujoco was imported.
    """
    has_screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    choice = os.environ.get("MUJOCO_GL", "").lower() or ("glfw" if has_screen else "egl")
    if sys.platform != "linux" or choice != "egl":
        return mujoco.GLContext
    from mujoco import egl

    return egl.GLContext
