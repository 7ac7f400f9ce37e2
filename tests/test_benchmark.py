"""What the benchmark of speed relies on."""

import math
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv
from speed.experiment_process import ExperimentProcess, peak_memory
from speed.floor import ProductCounter, measure_floor, time_products
from speed.gymnasium_loop import GYMNASIUMS, OURS, makers, mujocos_warnings_dropped, play
from speed.sampling import stage_work, time_physics, time_sampler
from speed.stages import (
    ROUND_SECONDS,
    STAGES,
    UPDATE_STAGES,
    measured_stages,
    time_meta_iteration,
    time_round,
)
from torch.func import grad, vmap

from meta_rl.config import load_config
from meta_rl.problems.rl import RLProblem
from meta_rl.runtime.stage_clock import StageClock

ROOT = Path(__file__).parents[1]
SMALL = (
    *("rollout.meta_batch_size=3", "rollout.episodes_per_task=2", "rollout.horizon=10"),
    *("rollout.num_threads=1", "run.device=cpu"),
)
NAVIGATION = ("navigation", *SMALL)
HALF_CHEETAH = ("half_cheetah_vel", *SMALL)


def experiment_of(settings: tuple[str, ...]) -> RLProblem:
    return RLProblem(load_config(settings[0], settings[1:]))


@pytest.mark.parametrize("env_id", [OURS, GYMNASIUMS])
def test_gymnasium_plays_the_very_episodes_of_the_sampler(env_id: str):
    """Their states, not their rewards, since Gymnasium's half-cheetah has no tasks."""
    with experiment_of(HALF_CHEETAH) as experiment:
        work = stage_work(experiment, 0)
        _, rollouts = time_sampler(experiment, work)
        with mujocos_warnings_dropped():
            env = SyncVectorEnv(makers(env_id, work))
        _, last = play(env, experiment.policy, work)
        env.close()
    ours = rollouts.observation[:, :, -1].flatten(0, 1).numpy()
    # Up to rounding: the sampler's two shards multiply matrices of other sizes.
    np.testing.assert_allclose(last, ours, rtol=1e-4, atol=1e-5)


def test_the_tasks_reach_gymnasiums_environments():
    with experiment_of(HALF_CHEETAH) as experiment:
        work = stage_work(experiment, 0)
    tasks = [make().unwrapped.task for make in makers(OURS, work)]
    np.testing.assert_array_equal(tasks, np.repeat(work.tasks, 2, axis=0))


def test_mujocos_warnings_leave_nothing_behind(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with mujocos_warnings_dropped():
        gymnasium.make(GYMNASIUMS).close()
    print("still heard", file=sys.stderr)
    assert capfd.readouterr().err == "still heard\n"
    assert not list(tmp_path.iterdir())


def test_physics_alone_is_less_than_sampling():
    with experiment_of((*HALF_CHEETAH, "rollout.episodes_per_task=40")) as experiment:
        seconds, rollouts = time_sampler(experiment, stage_work(experiment, 0))
        assert 0.0 < time_physics(rollouts, num_threads=1) < seconds


def test_stages_add_up_and_change_no_result():
    with experiment_of((*NAVIGATION, "meta_update.curvature_stride=1")) as experiment:
        state = experiment.initial_state()
        plain, metrics = experiment.meta_iteration(state, StageClock(experiment.device))
        names: list[str] = []
        with measured_stages(lambda name: nullcontext(names.append(name))):
            measured, _ = experiment.meta_iteration(state, StageClock(experiment.device))
        seconds = time_meta_iteration(experiment)
    assert all(torch.equal(plain.params[name], measured.params[name]) for name in plain.params)
    assert metrics["accepted"]
    # The curvature once and for each iteration.
    num_iterations = experiment.config.meta_update.num_cg_iterations
    assert names.count("advantages") == 1 + experiment.config.adaptation.num_adaptation_steps
    assert names.count("gradient") == 1
    assert names.count("conjugate_gradient") == 1 + num_iterations
    assert names.count("line_search") >= 2
    assert set(seconds) == {"whole", *STAGES}
    assert all(value > 0.0 for value in seconds.values())
    assert sum(seconds[name] for name in STAGES) == pytest.approx(seconds["whole"])


@pytest.mark.parametrize("seconds", [ROUND_SECONDS / 4.5, ROUND_SECONDS * 4.5])
def test_a_round_is_as_many_iterations_as_fill_it(monkeypatch: pytest.MonkeyPatch, seconds: float):
    monkeypatch.setattr("speed.stages.time_meta_iteration", lambda _: {"whole": seconds})
    assert len(time_round(None)) == max(1, math.ceil(ROUND_SECONDS / seconds))


def test_products_are_counted_under_transformations():
    """A gradient of a product costs two more of its size; each is m k n pairs of operations."""
    weight, x = torch.randn(5, 30, 40), torch.randn(5, 20, 30)

    def loss(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (x @ weight).square().sum()

    counter = ProductCounter()
    with counter:
        expected = vmap(grad(loss, argnums=(0, 1)))(weight, x)
    assert counter.flops == 3 * 5 * 2 * 20 * 30 * 40
    assert sum(counter.products.values()) == 3
    assert time_products(counter.products, torch.device("cpu")) > 0.0
    torch.testing.assert_close(expected[0], 2 * x.mT @ (x @ weight))


def test_the_floor_is_below_the_update():
    with experiment_of(NAVIGATION) as experiment:
        floor = measure_floor(experiment, num_rounds=1)
    assert floor["gflop"] == pytest.approx(sum(floor[f"gflop_{name}"] for name in UPDATE_STAGES))
    assert all(floor[f"gflop_{name}"] > 0.0 for name in UPDATE_STAGES)
    assert floor["update_over_floor"] > 1.0
    assert floor["seconds_floor"] * floor["gflop_per_second"] == pytest.approx(floor["gflop"])


def test_a_peak_does_not_count_the_memory_of_who_started_the_process():
    ballast = b"\1" * 2**30
    with ExperimentProcess(NAVIGATION[:-1], "cpu") as process:
        peak = process.run(peak_memory)["peak_memory_gib"]
    assert 0.1 < peak < len(ballast) / 2**30


def test_a_device_that_was_not_measured_is_named_as_such(monkeypatch: pytest.MonkeyPatch):
    import benchmark

    tables = benchmark.table()
    if not benchmark.RESULTS["cuda"].exists():
        assert "GPU: not measured" in tables.splitlines()[-1]
    monkeypatch.setitem(benchmark.RESULTS, "cuda", benchmark.RESULTS["cpu"])
    both = benchmark.table()
    assert "not measured" not in both
    assert "100, GPU |" in both and "policy on the GPU" in both


@pytest.mark.needs("no GPU")
def test_a_gpu_that_is_not_there_is_one_sentence():
    command = [sys.executable, "scripts/benchmark.py", "--device", "cuda"]
    result = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "CUDA" in result.stderr
