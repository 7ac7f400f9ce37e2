"""A user's environment of choices and pictures goes through every command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
LIGHTS = '''
"""Of three lamps, one pays; a second switch costs if it is on."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete


class Lights(gymnasium.Env):
    task_parameter_names = ("lamp",)
    finite_tasks = np.arange(3.0)[:, None]

    def __init__(self, both=True):
        self.observation_space = Dict(
            {"picture": Box(0, 255, (2, 2, 1), np.uint8), "last": Discrete(3)}
        )
        self.action_space = MultiDiscrete([3, 2]) if both else Discrete(3, start=4)
        self.both = both

    def sample_tasks(self, num_tasks, rng):
        return rng.integers(3, size=(num_tasks, 1)).astype(float)

    def set_task(self, task):
        self.lamp = int(task[0])

    def observe(self):
        picture = self.np_random.integers(256, size=(2, 2, 1), dtype=np.uint8)
        return {"picture": picture, "last": np.int64(self.last)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last = 0
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        lamp, switch = action if self.both else (action - 4, 0)
        self.last = int(lamp)
        return self.observe(), float(self.last == self.lamp) - 0.1 * switch, False, False, {}


gymnasium.register("Lights-v0", Lights)
'''
SETTINGS = """
env:
  id: lights:Lights-v0
  flatten_observations: true
policy: {hidden_sizes: [8]}
adaptation: {inner_step_size: 1.0}
rollout: {meta_batch_size: 3, episodes_per_task: 4, horizon: 8, num_threads: 2, step_timeout: 20}
evaluation: {every: 10, num_tasks: 3, episodes_per_task: 4, num_adaptation_steps: 1}
run: {device: cpu, meta_iterations: 2, checkpoint_every: 1}
"""


def meta_rl(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, [CHECKOUT, folder]))
    return subprocess.run(
        [sys.executable, "-m", "meta_rl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "80"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lights")
    (made / "lights.py").write_text(LIGHTS)
    (made / "lights.yaml").write_text(SETTINGS)
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("both", ["true", "false"])
def test_every_command_takes_choices(folder: Path, both: str):
    run = folder / f"run_{both}"
    options = f"env.options={{both: {both}}}"
    checked = meta_rl(folder, "check", "lights.yaml", options)
    assert checked.returncode == 0, checked.stderr
    assert "can be trained on" in checked.stdout
    trained = meta_rl(folder, "train", "lights.yaml", options, f"run.dir={run}")
    assert trained.returncode == 0, trained.stderr
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) >= 2
    evaluated = meta_rl(folder, "evaluate", run)
    assert evaluated.returncode == 0, evaluated.stderr
    shown = meta_rl(folder, "visualize", run)
    assert shown.returncode == 0, shown.stderr
    report = meta_rl(folder, "report", run)
    assert report.returncode == 0, report.stderr
    assert list(run.glob("**/*.html"))


def test_without_the_setting_the_way_out_is_named(folder: Path):
    result = meta_rl(folder, "check", "lights.yaml", "env.flatten_observations=false")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: env.id=lights:Lights-v0: ")
    assert "env.flatten_observations=true" in result.stderr
    assert result.stderr.count("\n") == 1
