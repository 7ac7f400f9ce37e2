"""``meta-rl visualize`` as users meet it: real runs, real processes, real files."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import gymnasium
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import envs
from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.training.jobs import start_run

assert envs  # registers the environments

CHECKOUT = Path(__file__).parents[3]
TINY = [
    *("rollout.meta_batch_size=2", "rollout.episodes_per_task=2", "rollout.horizon=12"),
    *("rollout.num_threads=1", "evaluation.num_tasks=2", "evaluation.episodes_per_task=3"),
    *("evaluation.num_adaptation_steps=2", "meta_update.curvature_stride=4"),
    *("run.meta_iterations=1", "run.device=cpu", "policy.hidden_sizes=[8]"),
]

# A user's module: its picture is a dot whose column says where it is.
DOT = """
import gymnasium
import numpy as np


class Dot(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode=None, broken=False):
        self.render_mode, self.broken = render_mode, broken
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(size=(num_tasks, 1))

    def set_task(self, task):
        self.goal = task[0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.steps = self.np_random.normal(size=1).astype(np.float32), 0
        return self.position, {}

    def step(self, action):
        self.position, self.steps = self.position + 0.1 * action, self.steps + 1
        return self.position, -abs(float(self.position[0]) - self.goal), False, False, {}

    def render(self):
        if self.broken:
            raise FileNotFoundError("no pictures today")
        frame = np.full((40, 61, 3), 255, np.uint8)
        frame[10:30, 4 * self.steps : 4 * self.steps + 8] = (200, 30, 30)
        return frame


gymnasium.register("Dot-v0", Dot)
gymnasium.register("Plain-v0", lambda: Plain())


class Plain(Dot):
    metadata = {}

    def __init__(self):
        super().__init__()
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def in_a_process(*arguments, **variables):
    unset = ("DISPLAY", "MUJOCO_GL")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return subprocess.run(
        [sys.executable, "-m", "meta_rl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**kept, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **variables},
    )


@pytest.fixture
def command(capsys, monkeypatch):
    """The command in this process."""
    # So that what the command sets is unset afterwards.
    monkeypatch.setenv("MUJOCO_GL", "")

    def call(*arguments):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with single_torch_thread():
                app([str(argument) for argument in arguments], standalone_mode=False)
            code = 0
        except SystemExit as ended:
            code = ended.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return call


def trained(folder, preset, *settings):
    config = load_config(preset, [*settings, *TINY, f"run.dir={folder / 'run'}"])
    with single_torch_thread():
        start_run(config, preset, Console(quiet=True))
    return folder / "run"


@pytest.fixture(scope="module")
def navigation(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("navigation"), "navigation")


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("cheetah"), "half_cheetah_vel_rllab")


@pytest.fixture
def dot_run(tmp_path, monkeypatch):
    """Trains in an environment of the user's module."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "dotting.py").write_text(DOT)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))  # of the worker processes

    def train(env_id, *settings):
        return trained(tmp_path, "navigation", f"env.id={env_id}", *settings)

    yield train
    sys.modules.pop("dotting", None)
    for env_id in ("Dot-v0", "Plain-v0"):
        gymnasium.registry.pop(env_id, None)


@contextmanager
def room_for_files_of(num_bytes):
    """What a full disk is like."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def film(path):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return np.stack(frames).astype(int), float(container.streams.video[0].average_rate)


def assert_moves(frames):
    assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 20, "not blank"
    assert (np.abs(np.diff(frames, axis=0)).max((1, 2, 3)) > 30).all(), "moves"


def assert_one_sentence(done, *parts):
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_navigation_has_trajectories_and_their_animation(navigation):
    before = set(navigation.iterdir())
    done = in_a_process("visualize", navigation, "--num-tasks", 2, "--gif")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    (folder,) = set(navigation.iterdir()) - before
    assert folder.name.startswith("visualize-") and str(folder) in done.stdout
    assert names(folder) == [f"trajectories.{e}" for e in ("gif", "mp4", "png", "svg")]
    frames, _ = film(folder / "trajectories.mp4")
    assert len(frames) == 12 + 1
    assert_moves(frames)
    with Image.open(folder / "trajectories.png") as image:
        assert image.width > 600 and len(image.convert("RGB").getcolors(1 << 24)) > 100
    svg = (folder / "trajectories.svg").read_text()
    assert "after 2 steps" in svg and "goal x" in svg and "<svg" in svg
    with Image.open(folder / "trajectories.gif") as image:
        assert image.n_frames > 5 and (folder / "trajectories.gif").stat().st_size < 1_000_000


@pytest.mark.needs("EGL")
def test_a_cheetah_has_a_film_per_task_and_its_velocity(cheetah, tmp_path, command):
    out = tmp_path / "some" / "pictures"
    tasks = "0.5;9"
    done = in_a_process("visualize", cheetah, "--tasks", tasks, "--steps", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 tasks lies outside velocity in [0, 2]" in done.stdout
    expected = [f"forward_velocity.{e}" for e in ("png", "svg")] + ["task-1.mp4", "task-2.mp4"]
    assert names(out) == expected
    films = [film(out / f"task-{i}.mp4") for i in (1, 2)]
    for frames, rate in films:
        assert frames.shape == (12 + 1, 34 + 68 + 240 + 30, 2 * 320, 3)
        assert rate == 25
        assert_moves(frames)
        # The two policies did not do the same.
        assert np.abs(frames[-1, 102:342, :318] - frames[-1, 102:342, 320:638]).max() > 50
    assert np.abs(films[0][0] - films[1][0]).max() > 50
    # The same command makes the same pictures.
    again = tmp_path / "again"
    command("visualize", cheetah, "--tasks", tasks, "--steps", 1, "--out", again)
    assert [(out / name).read_bytes() for name in expected] == [
        (again / name).read_bytes() for name in expected
    ]


def test_a_users_environment_has_its_reward_and_its_own_pictures(dot_run, tmp_path, command):
    run, out = dot_run("dotting:Dot-v0"), tmp_path / "out"
    done = command("visualize", run, "--tasks", "-0.5", "--out", out)
    assert done.returncode == 0, done.stderr
    assert names(out) == ["reward.png", "reward.svg", "task-1.mp4"]
    frames, rate = film(out / "task-1.mp4")
    assert len(frames) == 13 and rate == 10
    # The dot is where the user drew it, in each of three panels of 320 columns.
    for t, frame in enumerate(frames):
        red = (frame[..., 0] > 150) & (frame[..., 1] < 80)
        for panel in range(3):
            columns = np.nonzero(red[102:, 320 * panel : 320 * (panel + 1)])[1]
            assert columns.mean() == pytest.approx((4 * t + 4) * 320 / 61, abs=4)


def test_without_a_render_mode_there_is_a_figure_and_a_word_about_it(dot_run, tmp_path, command):
    run, out = dot_run("dotting:Plain-v0"), tmp_path / "out"
    done = command("visualize", run, "--num-tasks", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "No film: the environment has no render mode 'rgb_array'" in done.stdout
    assert names(out) == ["reward.png", "reward.svg"]


def test_a_users_pictures_that_fail_are_named(dot_run, tmp_path, command):
    run = dot_run("dotting:Dot-v0", "env.options={broken: true}")
    done = command("visualize", run, "--out", tmp_path / "out")
    assert_one_sentence(done, "failed when it was drawn: FileNotFoundError: no pictures today")
    assert names(tmp_path) == ["modules", "run"]


def test_where_nothing_can_be_drawn_one_sentence_says_what_to_install(
    cheetah, tmp_path, command, monkeypatch
):
    out = tmp_path / "out"
    done = in_a_process("visualize", cheetah, "--out", out, MUJOCO_GL="disable")
    assert_one_sentence(done, "cannot draw", "install libegl1, libopengl0 and libgl1-mesa-dri")
    assert names(tmp_path) == []
    # Figures need no drawing.
    monkeypatch.setattr(
        "envs.offscreen._gl_context_class", lambda: pytest.fail("nothing is to be drawn")
    )
    done = command("visualize", cheetah, "--num-tasks", 1, "--out", out, "--no-video")
    assert done.returncode == 0, done.stderr
    assert names(out) == ["forward_velocity.png", "forward_velocity.svg"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--tasks", "0.1"], "should have 2 numbers (goal_x, goal_y)"),
        (["--tasks", "0.1,0.2;0.3"], "'0.3' has 1"),
        (["--tasks", "0.1,x"], "'x' is not a finite number"),
        (["--tasks", "0.1,inf"], "'inf' is not a finite number"),
        (["--tasks", ""], "'' is not a finite number"),
        (["--tasks", "0,0", "--num-tasks", "3"], "choose one of --tasks and --num-tasks"),
        (["--num-tasks", "0"], "--num-tasks should be at least 1"),
        (["--steps", "-1"], "evaluation.num_adaptation_steps"),
        (["--device", "tpu"], "run.device"),
        (["--out", "{tmp}"], "exists and is not overwritten"),
        (["--out", "/proc/pictures"], "cannot be written"),
    ],
)
def test_mistakes_are_one_sentence(navigation, tmp_path, command, arguments, part):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    before = names(navigation)
    done = command("visualize", navigation, *arguments)
    assert_one_sentence(done, part)
    assert names(navigation) == before and names(tmp_path) == []


def test_a_run_without_a_checkpoint(navigation, tmp_path, command):
    run = tmp_path / "run"
    shutil.copytree(navigation, run, ignore=lambda *_: ["checkpoints", "best.json"])
    assert_one_sentence(command("visualize", run), "there is no checkpoint in")


def test_a_full_disk_leaves_nothing(navigation, tmp_path, command):
    with room_for_files_of(20_000):
        done = command("visualize", navigation, "--num-tasks", 1, "--out", tmp_path / "out")
    assert_one_sentence(done, "cannot be written: File too large")
    assert names(tmp_path) == []
