"""One environment in Gymnasium's ordinary interface: a view of a batch of one."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.appearance import Appearance, DrawnDynamics, PlanarDynamics, Snapshot
from envs.batched_task_env import BatchedTaskEnv
from envs.task_env import FloatArray, MotionT


class SingleTaskEnv(gymnasium.Env[NDArray[Any], Any]):
    """What `gymnasium.make` returns: reset, dynamics and reward are those of the batch.

    Before the first `set_task` the task is the family's first draw from
    `np.random.default_rng(0)`. A task stays in force over resets until another is set.
    The time limit is Gymnasium's `TimeLimit` wrapper.
    """

    def __init__(self, batch: BatchedTaskEnv[MotionT], render_mode: str | None = None) -> None:
        """View a batch.

        Args:
            batch: holds one environment and has no time limit of its own.
            render_mode: "rgb_array" where the dynamics can be drawn, or None.

        Raises:
            ValueError: there is no such way of rendering.
        """
        assert batch.num_envs == 1
        self._batch = batch
        dynamics: object = batch.dynamics
        # Found once, since looking for a protocol's methods takes longer than calling them.
        self._drawing = dynamics.drawing if isinstance(dynamics, DrawnDynamics) else None
        self._planar = dynamics if isinstance(dynamics, PlanarDynamics) else None
        self.metadata = {"render_modes": []}
        if self._drawing is not None:
            self.metadata = {
                "render_modes": ["rgb_array"],
                "render_fps": round(1.0 / self._drawing.control_step),
            }
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            known = " or ".join(repr(mode) for mode in modes) or "none"
            raise ValueError(f"render_mode should be {known}, not {render_mode!r}.")
        self.render_mode = render_mode
        self.task_parameter_names = batch.task_parameter_names
        self.observation_space = batch.single_observation_space
        self.action_space = batch.single_action_space

    @property
    def task(self) -> FloatArray:
        """A copy of the task in force, [task_parameter]."""
        return self._batch.tasks[0]

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> FloatArray:
        """Draw tasks, float64 [num_tasks, task_parameter]."""
        return self._batch.sample_tasks(num_tasks, rng)

    def set_task(self, task: FloatArray) -> None:
        """Set the task, [task_parameter], in force from the next step on."""
        self._batch.set_tasks(np.asarray(task)[None])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode, drawing the initial state from this environment's `np_random`."""
        super().reset(seed=seed)
        self._batch.generators[0] = self.np_random
        observation, _ = self._batch.reset()
        return observation[0], {}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Advance by one control step; `info` holds the reward's terms and `diverged`."""
        observation, reward, terminated, truncated, info = self._batch.step(
            np.asarray(action)[None]
        )
        return (
            observation[0],
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {name: value[0].item() for name, value in info.items()},
        )

    def render(self) -> NDArray[np.uint8] | None:
        """A picture of the present state, [height, width, 3], or None without a render mode.

        Raises:
            RenderingError: this machine cannot draw it.
        """
        if self.render_mode is None or self._drawing is None:
            return None
        return self._drawing.frame(0)

    def appearance(self) -> Appearance:
        """What can be shown under the task in force."""
        drawing, family = self._drawing, self._batch.family
        return Appearance(
            control_step=None if drawing is None else drawing.control_step,
            scene=None if drawing is None else drawing.scene,
            tracked=None if family.tracked is None else family.tracked.under(self.task),
            goal=None if family.goal is None else family.goal.under(self.task),
        )

    def snapshot(self) -> Snapshot:
        """What can be shown of the present state."""
        drawing, planar = self._drawing, self._planar
        return Snapshot(
            pose=None if drawing is None else drawing.pose(0),
            plane_position=None if planar is None else planar.plane_position(0),
        )

    def close(self) -> None:
        """Release the batch."""
        if self._drawing is not None:
            self._drawing.close()
        self._batch.close()
