"""What the commands say of tasks: seen or not, of any size, with their units and brackets."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Several commands, each of which imports torch.
pytestmark = pytest.mark.timeout(1200)

CHECKOUT = Path(__file__).parents[3]
TASKS = """
import gymnasium as gym
import numpy as np


class Line(gym.Env):
    task_parameter_names = ("index [m/s]",)

    def __init__(self):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.normal() * 0.1), 0
        return self.obs(), {}

    def obs(self):
        return np.array([self.x, self.t / 10.0], np.float32)

    def step(self, action):
        self.x += 0.1 * float(np.asarray(action).reshape(-1)[0])
        self.t += 1
        return self.obs(), -abs(self.x - self.goal), False, False, {}


class Index(Line):
    task_range = ((0,), (4,))

    def sample_tasks(self, num_tasks, rng):
        return rng.integers(0, 5, (num_tasks, 1))

    def set_task(self, task):
        self.goal = (-1, -0.5, 0, 0.5, 1)[int(task[0])]
        assert task[0] == int(task[0]), f"there is no task {task[0]}"


class Image(Line):
    task_parameter_names = tuple(f"pixel [{i}]" for i in range(784))

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(0, 1, (num_tasks, 784))

    def set_task(self, task):
        self.goal = float(task[0])


gym.register("Index-v0", Index)
gym.register("Image-v0", Image)
"""
SETTINGS = """
env: {id: "numbered:NAME-v0"}
policy: {hidden_sizes: [8]}
rollout: {meta_batch_size: 4, episodes_per_task: 4, horizon: 5, num_threads: 1}
evaluation: {every: 0, num_tasks: 8, episodes_per_task: 2, num_adaptation_steps: 1}
run: {meta_iterations: 1, device: cpu}
"""


def command(folder: Path, *arguments: object) -> str:
    path = os.pathsep.join(map(str, [CHECKOUT, folder]))
    result = subprocess.run(
        [sys.executable, "-m", "meta_rl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks [x]")
    (folder / "numbered.py").write_text(TASKS)
    return folder


def trained(folder: Path, name: str) -> tuple[Path, str]:
    (folder / f"{name}.yaml").write_text(SETTINGS.replace("NAME", name))
    run = folder / f"{name} [run]"
    return run, command(folder, "train", f"{name}.yaml", f"run.dir={json.dumps(str(run))}")


def test_tasks_that_training_draws_too_are_not_called_held_out(folder: Path):
    run, said = trained(folder, "Index")
    assert "Return on tasks seen in training (± 95 % over tasks)" in said
    assert "held-out" not in said
    out = folder / "grid [out]"
    said = command(folder, "evaluate", run, "--grid", 9, "--out", out)
    assert "Return on every known task, seen in training (± 95 % over tasks)" in said
    assert "held-out" not in said
    assert "index [m/s]" in said
    assert "Index [run]" in said
    assert f"Evaluation: {out}" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["tasks"]["values"] == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert summary["tasks"]["held_out"] is False
    assert summary["tasks"]["source"] == "every known task, seen in training"
    page = folder / "report.html"
    command(folder, "report", run, "--out", page)
    data = page.read_text().split('type="application/json">')[1].split("</script>")[0]
    report = json.loads(data)
    assert report["evaluation"]["held_out"] is False
    assert "(tasks seen in training, drawn with seed 0)" in report["adaptation"]["text"]
    assert report["tasks"]["parameter_names"] == ["index [m/s]"]


def test_a_task_with_784_entries_is_shown_by_its_ends_and_kept_whole(folder: Path):
    run, said = trained(folder, "Image")
    assert "Return on held-out tasks" in said
    out = folder / "image-out"
    said = command(folder, "evaluate", run, "--out", out)
    lines = said.splitlines()
    rows = [line.split("│") for line in lines if line.count("│") == 11]
    assert {row[4].strip() for row in rows} <= {"...", ""}
    assert any("best" in row[-2] for row in rows)
    tables = [line for line in lines if not line.startswith("Warning: ")]
    assert max(map(len, tables)) <= 140
    assert "5 of the 784 entries of a task are shown." in lines
    assert len(lines) < 60
    with (out / "evaluation.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert all(0 <= float(row[f"pixel [{i}]"]) < 1 for i in range(784))
    page = folder / "image.html"
    command(folder, "report", run, "--out", page)
    assert page.stat().st_size < 1_000_000
    assert "5 of the 784 entries of a task are shown." in page.read_text()
    pictures = folder / "pictures"
    said = command(folder, "visualize", run, "--num-tasks", 1, "--no-video", "--out", pictures)
    svg = (pictures / "reward.svg").read_text()
    assert "pixel [0]" in svg
    assert "pixel [400]" not in svg
