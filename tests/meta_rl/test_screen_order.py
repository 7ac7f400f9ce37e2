"""Films where triton comes before the screen, after it and never: each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Where other work shares the machine, importing torch and triton takes a minute.
pytestmark = [pytest.mark.needs("EGL"), pytest.mark.timeout(600)]
CHECKOUT = Path(__file__).parents[2]
TINY = [
    *("rollout.meta_batch_size=2", "rollout.episodes_per_task=2", "rollout.horizon=5"),
    *("rollout.num_threads=1", "evaluation.num_tasks=2", "evaluation.episodes_per_task=2"),
    *("evaluation.num_adaptation_steps=1", "meta_update.curvature_stride=1"),
    *("run.meta_iterations=1", "run.device=cpu", "policy.hidden_sizes=[8]"),
]
COMMANDS = """
import sys

order, *commands = sys.argv[1:]
if order == "first":
    import triton
if order == "never":
    sys.modules["triton"] = None  # as where it is not installed

from meta_rl.cli import app

for command in commands:
    app(command.split(" "), standalone_mode=False)
if order == "last":
    import triton
print("the end")
"""
ORDERS = [
    "as it comes",
    "never",
    *(pytest.param(order, marks=pytest.mark.needs("triton")) for order in ("first", "last")),
]

# A user's module, which opens a screen before anything of ours would.
LOOKING = """
import gymnasium
import mujoco
import numpy as np

MODEL = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 2'/><geom type='sphere' size='.5'/></worldbody></mujoco>"
)


class Looking(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.renderer = mujoco.Renderer(MODEL, 48, 64)
        self.renderer.update_scene(mujoco.MjData(MODEL))

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(size=(num_tasks, 1))

    def set_task(self, task):
        self.goal = task[0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.render().mean((0, 1))[:1], {}

    def step(self, action):
        observation = self.render().mean((0, 1))[:1]
        return observation, -abs(float(action[0]) - self.goal), False, False, {}

    def render(self):
        return self.renderer.render()


gymnasium.register("Looking-v0", Looking)
"""


def run(order: str, *commands: list[str], folder: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    path = os.pathsep.join([str(CHECKOUT), str(folder)])
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, order, *(" ".join(command) for command in commands)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MUJOCO_GL": "egl"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the end"


def train(env_id: str, path: Path) -> list[str]:
    return ["train", "navigation", f"env.id={env_id}", *TINY, f"run.dir={path}"]


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cheetah")
    run("as it comes", train("HalfCheetahVel-v0", folder / "run"), folder=folder)
    return folder / "run"


def visualize(run_folder: Path, films: Path) -> list[str]:
    return ["visualize", str(run_folder), "--num-tasks", "1", "--out", str(films)]


@pytest.mark.parametrize("order", ORDERS)
def test_a_film_is_drawn(cheetah: Path, tmp_path: Path, order: str):
    run(order, visualize(cheetah, tmp_path / "films"), folder=tmp_path)
    assert (tmp_path / "films" / "task-1.mp4").stat().st_size > 1_000


def test_a_users_environment_may_open_a_screen_when_it_is_made(tmp_path: Path):
    (tmp_path / "looking.py").write_text(LOOKING)
    commands = (
        train("looking:Looking-v0", tmp_path / "run"),
        visualize(tmp_path / "run", tmp_path / "films"),
    )
    run("as it comes", *commands, folder=tmp_path)
    assert (tmp_path / "films" / "task-1.mp4").stat().st_size > 1_000
