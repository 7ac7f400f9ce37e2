"""Drawing without a screen, prepared before anything imports MuJoCo."""

import ctypes
import os
import sys


def prefer_egl() -> None:
    """Lets MuJoCo draw through EGL on Linux, unless the user has chosen otherwise.

    MuJoCo decides when it is imported. Our own environments find EGL by themselves; those of a
    user that are built on Gymnasium's MujocoEnv do not. Where EGL is not installed nothing is
    set, because MuJoCo could then not even be imported.
    """
    if sys.platform == "linux" and not os.environ.get("MUJOCO_GL") and _can_load("libEGL.so.1"):
        os.environ["MUJOCO_GL"] = "egl"


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
