"""What an environment can show of itself beside numbers; all of it is optional.

An ordinary environment (`gymnasium.make`) may have two methods for it, `appearance()` and
`snapshot()`. Those of this package get them from their parts: a task family says which quantity
it is about, or where its goal lies; dynamics say where the robot is and how to draw it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.wrapper_layers import outermost

FloatArray = NDArray[np.float64]

MotionT_contra = TypeVar("MotionT_contra", contravariant=True)


@dataclass(frozen=True)
class Scene:
    """The solids of a simulation, G of them, as MuJoCo describes geoms.

    Attributes:
        kind: "plane", "sphere", "capsule", "ellipsoid", "cylinder", "box" or another of MuJoCo's
            geom types, [G].
        size: MuJoCo's half-sizes in metres, [G, 3]: radius and half-length along the own z axis
            for a capsule and a cylinder, radius for a sphere, half-extents for the others.
        colour: red, green, blue and opacity in [0, 1], [G, 4].
    """

    kind: tuple[str, ...]
    size: FloatArray
    colour: FloatArray


class ScenePose(NamedTuple):
    """Where the solids of a scene are.

    Attributes:
        position: of their centres, metres, [..., G, 3]; z is up.
        orientation: rotation matrices from a solid's own axes to the world's, [..., G, 3, 3].
    """

    position: FloatArray
    orientation: FloatArray


class Tracked(NamedTuple):
    """A quantity that a task is about, for one task.

    Attributes:
        name: its entry in the `info` of a step, "forward_velocity".
        unit: "m/s".
        target: the task's.
        aim: "value" if the quantity should equal the target, "sign" if it should be as large as
            possible in the direction of the target's sign.
    """

    name: str
    unit: str
    target: float
    aim: Literal["value", "sign"]


class Goal(NamedTuple):
    """A place in the plane.

    Attributes:
        position: [2].
        half_width: it is reached where both coordinates are closer to it than this.
    """

    position: FloatArray
    half_width: float


@dataclass(frozen=True)
class Appearance:
    """What an environment can show under the task in force; None where it cannot.

    Attributes:
        control_step: seconds of simulated time per step.
        scene: the solids, whose poses are in each snapshot.
        tracked: the quantity that the task is about.
        goal: the place that the task is about; snapshots then have a `plane_position`.
    """

    control_step: float | None = None
    scene: Scene | None = None
    tracked: Tracked | None = None
    goal: Goal | None = None


class Snapshot(NamedTuple):
    """What an environment shows at its present state.

    Attributes:
        pose: of the scene, [G, ...], or None without one.
        plane_position: of the robot in the plane, [2], or None where it is not in one.
    """

    pose: ScenePose | None = None
    plane_position: FloatArray | None = None


@dataclass(frozen=True)
class TrackedQuantity(Generic[MotionT_contra]):
    """The quantity that the tasks of a family are about, over a batch; see `Tracked`.

    Attributes:
        name: see `Tracked`.
        unit: see `Tracked`.
        value: motion -> [simulation].
        target: tasks [simulation, task_parameter] -> [simulation].
        aim: see `Tracked`.
    """

    name: str
    unit: str
    value: Callable[[MotionT_contra], FloatArray]
    target: Callable[[FloatArray], FloatArray]
    aim: Literal["value", "sign"]

    def under(self, task: FloatArray) -> Tracked:
        """The quantity under one task, [task_parameter]."""
        return Tracked(self.name, self.unit, float(self.target(task[None])[0]), self.aim)


@dataclass(frozen=True)
class PlaneGoal:
    """The place that the tasks of a family are about, over a batch; see `Goal`.

    Attributes:
        position: tasks [simulation, task_parameter] -> [simulation, 2].
        half_width: see `Goal`.
    """

    position: Callable[[FloatArray], FloatArray]
    half_width: float

    def under(self, task: FloatArray) -> Goal:
        """The place under one task, [task_parameter]."""
        return Goal(self.position(task[None])[0], self.half_width)


class RenderingError(RuntimeError):
    """A picture cannot be drawn on this machine; the message is a sentence that says what to do."""

    is_sentence = True


class Drawing(Protocol):
    """How the simulations of some dynamics are drawn."""

    @property
    def control_step(self) -> float:
        """Seconds of simulated time per step."""
        ...

    @property
    def scene(self) -> Scene:
        """The solids."""
        ...

    def pose(self, simulation: int) -> ScenePose:
        """Where they are at the present state of one simulation."""
        ...

    def frame(self, simulation: int) -> NDArray[np.uint8]:
        """A picture of the present state of one simulation, [height, width, 3].

        Raises:
            RenderingError: this machine cannot draw it.
        """
        ...

    def close(self) -> None:
        """Release what drawing has taken."""
        ...


@runtime_checkable
class DrawnDynamics(Protocol):
    """Dynamics of solids."""

    @property
    def drawing(self) -> Drawing:
        """How they are drawn."""
        ...


@runtime_checkable
class PlanarDynamics(Protocol):
    """Dynamics of something with a place in the plane."""

    def plane_position(self, simulation: int) -> FloatArray:
        """The present place of one simulation, [2]."""
        ...


def appearance_of(env: gymnasium.Env[Any, Any]) -> Appearance:
    """What an environment can show; nothing where no layer of it says."""
    ask = outermost(env, "appearance")
    return ask() if callable(ask) else Appearance()


def snapshot_of(env: gymnasium.Env[Any, Any]) -> Snapshot:
    """What an environment shows at its present state; nothing where no layer of it says."""
    ask = outermost(env, "snapshot")
    return ask() if callable(ask) else Snapshot()
