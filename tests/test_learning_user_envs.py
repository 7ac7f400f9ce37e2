"""It learns where a task has few steps for many observations, and where their scales differ."""

import importlib
import io
import json
import sys
from pathlib import Path

import gymnasium
import pytest
import torch
from rich.console import Console

from meta_rl.config import load_config
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import find_checkpoints, load_checkpoint
from meta_rl.training.jobs import start_run

SOURCE = '''
import gymnasium
import numpy as np


class Base(gymnasium.Env):
    size = 2

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    task_parameter_names = ("goal",)

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(0.85, 0.95, (num_tasks, 1))

    def set_task(self, task):
        self.goal = float(task[0])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = 0.1 * float(self.np_random.normal()), 0
        return self.observe(), {}

    def observe(self):
        return np.array([self.place, self.time / 10], np.float32)

    def step(self, action):
        self.place += 0.2 * float(action[0])
        self.time += 1
        return self.observe(), self.reward(float(action[0])), False, False, {}

    def reward(self, action):
        return -abs(self.place - self.goal)


class Crowded(Base):
    """A point on a line with a goal; beside place and time it shows 98 numbers that are noise."""

    size = 100

    def observe(self):
        noise = self.np_random.normal(size=98)
        return np.concatenate([super().observe(), noise]).astype(np.float32)


class Scales(Base):
    """Asks for half of a number that it shows a thousandth of, beside one that is noise."""

    def observe(self):
        self.signal, self.next_signal = self.next_signal, self.np_random.normal()
        noise = self.np_random.normal()
        return np.array([1e3 * noise, 1e-3 * self.next_signal], np.float32)

    def reset(self, *, seed=None, options=None):
        self.next_signal = 0.0
        return super().reset(seed=seed)

    def reward(self, action):
        return -((action - np.clip(0.5 * self.signal, -1, 1)) ** 2)


class Indifferent(Base):
    """Pays the same whatever is done."""

    def reward(self, action):
        return -0.1


for kind in (Crowded, Scales, Indifferent):
    gymnasium.register(f"{kind.__name__}-v0", kind)
'''
SETTINGS = (
    *("policy.hidden_sizes=[16]", "rollout.num_threads=1", "run.device=cpu"),
    *("evaluation.every=0", "evaluation.num_tasks=4", "evaluation.episodes_per_task=10"),
    *("adaptation.num_adaptation_steps=0", "evaluation.num_adaptation_steps=0"),
)
CROWDED = (
    *("rollout.meta_batch_size=10", "rollout.episodes_per_task=4", "rollout.horizon=10"),
    *("meta_update.max_kl=0.03", "run.meta_iterations=20"),
)
SCALES = (
    *("policy.init_std=0.5", "rollout.meta_batch_size=4", "rollout.episodes_per_task=10"),
    *("rollout.horizon=20", "meta_update.max_kl=0.05", "run.meta_iterations=12"),
)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns before and after training, what was shown, and the run."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "few_steps.py").write_text(SOURCE)
    (tmp_path / "config.yaml").write_text("env: {id: to be set}\n")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))  # of the worker processes
    importlib.invalidate_caches()

    def train(env_id: str, *settings: str):
        path = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        overrides = [f"env.id=few_steps:{env_id}", *SETTINGS, *settings, f"run.dir={path}"]
        shown = io.StringIO()
        with single_torch_thread():
            config = load_config(str(tmp_path / "config.yaml"), overrides)
            result = start_run(config, "run", Console(file=shown, width=1000))
        before, after = (float(curve.mean[0]) for curve in result.curves.values())
        return before, after, shown.getvalue(), path

    yield train
    sys.modules.pop("few_steps", None)
    for name in ("Crowded", "Scales", "Indifferent"):
        gymnasium.registry.pop(f"{name}-v0", None)


@pytest.mark.slow
def test_with_more_features_than_steps_it_learns_and_says_what_the_baseline_does(train):
    before, after, shown, _ = train("Crowded-v0", *CROWDED)
    warning, training = shown.index("Warning: "), shown.index("1/20")
    assert warning < training, "before training starts"
    assert shown[warning:].splitlines()[0] == (
        "Warning: rollout.episodes_per_task=4 with rollout.horizon=10 gives 40 steps per task, too "
        "few for the 204 features of the linear baseline: it uses the time alone, and "
        "observations from 612 steps on (rollout.episodes_per_task=62)."
    )
    # Measured with run.seed 0 and 1: -9.1 -> -3.4, -9.0 -> -3.7. With all features in the baseline,
    # whose advantages are rounding then: -9.1 -> -8.5, -9.0 -> -8.1.
    assert before < -8.0
    assert after > -5.0


@pytest.mark.slow
def test_observations_of_unequal_scales(train):
    _, raw, shown, _ = train("Scales-v0", *SCALES)
    assert "Warning" not in shown
    before, normalised, *_ = train("Scales-v0", *SCALES, "policy.normalise_observations=true")
    # Measured with run.seed 0 and 1: -20.5 -> -0.3, -13.8 -> -0.6; without the setting,
    # -19.4 -> -8.6, -9.5 -> -5.2.
    assert before < -6.0
    assert normalised > -3.0
    assert raw < normalised - 3.0


@pytest.mark.parametrize("standardise", [True, False])
def test_where_no_action_matters_no_step_is_taken(train, standardise):
    *_, path = train(
        "Indifferent-v0",
        *("rollout.meta_batch_size=2", "rollout.episodes_per_task=5", "rollout.horizon=10"),
        *("adaptation.num_adaptation_steps=1", "run.meta_iterations=2", "run.keep_checkpoints=9"),
        f"rollout.standardise_advantages={standardise}",
    )
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["accepted"] for line in lines] == [False, False]
    assert [line["gradient_norm"] for line in lines] == [0.0, 0.0]
    first, *others = (load_checkpoint(each).params for each in find_checkpoints(path))
    for other in others:
        assert all(torch.equal(other[name], value) for name, value in first.items())
