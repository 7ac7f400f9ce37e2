"""The solids of a simulation as the page draws them: seen from the side, along the y axis."""

from typing import Any

import numpy as np

from meta_rl.reporting.report.packing import pack, rounded
from meta_rl.rollouts.replay import Replay, Scene

# The own axes of a solid whose half-lengths its outline depends on.
_OUTLINE_AXES: dict[str, tuple[int, ...]] = {
    "sphere": (),
    "capsule": (2,),
    "cylinder": (2,),
    "box": (0, 1, 2),
    "ellipsoid": (0, 1, 2),
}
_MILLIMETRE = 0.001
# The camera's place is a mean over so many steps before and after.
_CAMERA_REACH = 15


def drawn_solids(scene: Scene) -> list[dict[str, Any]]:
    """The solids that the page can draw, in the order in which ``packed_poses`` has them."""
    return [
        {
            "kind": scene.kind[index],
            "size": rounded(scene.size[index], 4),
            "colour": rounded(scene.colour[index], 3),
        }
        for index in _drawn(scene)
    ]


def undrawn_kinds(scene: Scene) -> list[str]:
    """Kinds of solids that the page leaves out; the ground is drawn anyway."""
    return sorted({kind for kind in scene.kind if kind not in _OUTLINE_AXES and kind != "plane"})


def numbers_per_moment(scene: Scene) -> int:
    """How many numbers ``packed_poses`` has for each moment."""
    return sum(2 + 2 * len(_OUTLINE_AXES[scene.kind[index]]) for index in _drawn(scene))


def packed_poses(replay: Replay) -> dict[str, Any]:
    """Where the solids are at each moment.

    ``camera`` holds the x that the camera looks at, [T + 1]; ``poses`` for every moment and drawn
    solid the x (from the camera) and z (from the ground) of its centre, then of each half-axis in
    ``_OUTLINE_AXES``. Metres.
    """
    assert replay.scene is not None and replay.pose is not None
    scene, drawn = replay.scene, _drawn(replay.scene)
    camera = _smooth(replay.pose.position[:, drawn, 0].mean(1))
    parts = []
    for index in drawn:
        centre = replay.pose.position[:, index, ::2].copy()  # x and z
        centre[:, 0] -= camera
        centre[:, 1] -= ground_height(replay)
        parts.append(centre)
        for axis in _OUTLINE_AXES[scene.kind[index]]:
            half_length = scene.size[index][_size_entry(scene.kind[index], axis)]
            parts.append(half_length * replay.pose.orientation[:, index, ::2, axis])
    return {
        "poses": pack(np.concatenate(parts, axis=1), unit=_MILLIMETRE, bits=16),
        "camera": pack(camera, unit=_MILLIMETRE, bits=32),
    }


def ground_height(replay: Replay) -> float:
    """The z of the first plane, 0 without one; metres."""
    assert replay.scene is not None and replay.pose is not None
    if "plane" not in replay.scene.kind:
        return 0.0
    return float(replay.pose.position[0, replay.scene.kind.index("plane"), 2])


def greatest_height(replay: Replay) -> float:
    """How far above the ground the centre of a solid gets, metres."""
    assert replay.scene is not None and replay.pose is not None
    height = replay.pose.position[:, _drawn(replay.scene), 2]
    return float(np.max(height)) - ground_height(replay)


def _drawn(scene: Scene) -> list[int]:
    return [index for index, kind in enumerate(scene.kind) if kind in _OUTLINE_AXES]


def _size_entry(kind: str, axis: int) -> int:
    """Where MuJoCo's ``size`` has the half-length along an own axis."""
    return 1 if kind in ("capsule", "cylinder") else axis


def _smooth(x: np.ndarray) -> np.ndarray:
    """A moving mean, [T + 1]; it stands still at both ends."""
    padded = np.pad(x, _CAMERA_REACH, mode="edge")
    width = 2 * _CAMERA_REACH + 1
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")
