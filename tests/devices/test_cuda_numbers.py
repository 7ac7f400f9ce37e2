"""A GPU computes what a CPU does: to rounding in double precision, less closely in single."""

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from meta_rl.algorithms.meta_data import MetaData, every_nth_step, meta_data
from meta_rl.algorithms.meta_objective import (
    meta_curvature_product,
    meta_evaluation,
    meta_gradient,
)
from meta_rl.config import load_config
from meta_rl.ops.conjugate_gradient import conjugate_gradient
from meta_rl.ops.params import initial_params, ravel
from meta_rl.problems import rl
from meta_rl.problems.rl import RLProblem
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.runtime.compilation import update_compiler
from meta_rl.runtime.seeding import RandomStreams
from meta_rl.runtime.stage_clock import StageClock

pytestmark = pytest.mark.cuda
CPU = torch.device("cpu")
# Sums of single-precision numbers in another order; conjugate gradient makes them larger.
DOUBLE, SINGLE = 1e-9, 1e-3
SETTINGS = (
    *("rollout.meta_batch_size=6", "rollout.episodes_per_task=5", "rollout.horizon=20"),
    *("meta_update.curvature_stride=2", "meta_update.damping=0.01", "rollout.num_threads=2"),
)


def moved(values, device: torch.device, dtype: torch.dtype):
    return tree_map(lambda x: x.to(device, dtype), values)


def relative(value: torch.Tensor, expected: torch.Tensor) -> float:
    expected = expected.double()
    return float((value.double().cpu() - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def episodes():
    """Of a meta-iteration of HalfCheetahVel on the CPU."""
    config = load_config("half_cheetah_vel", [*SETTINGS, "run.device=cpu"])
    with RLProblem(config) as problem:
        state, adaptation = problem.initial_state(), problem.algorithm.collect_and_adapt
        play = problem._play(state, StageClock(CPU))
        seen, batches = adaptation(state.params, play, problem.algorithm.num_adaptation_steps)
        batches.append(adaptation.batch(seen[-1]))
        return adaptation.inner_loop, meta_data(batches, multi_step=True)


def update_parts(inner_loop, params, data: MetaData, compiler=None):
    """Gradient, surrogate, curvature product, solution of CG, and a candidate's evaluation."""
    gradient, surrogate, old = meta_gradient(inner_loop, params, [data], compiler=compiler)
    product = meta_curvature_product(
        inner_loop, params, [every_nth_step(data, 2)], compiler=compiler
    )
    solution, _ = conjugate_gradient(lambda v: product(v) + 0.01 * v, gradient, num_iterations=10)
    evaluate = meta_evaluation(inner_loop, params, [data], old, compiler=compiler)
    return (
        gradient,
        surrogate,
        product(gradient),
        solution,
        *evaluate(ravel(params) + 0.01 * solution),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, DOUBLE), (torch.float32, SINGLE)])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_the_parts_of_the_update(cuda, episodes, dtype, tolerance, is_recorded):
    inner_loop, data = episodes
    inner_loop.policy.to(CPU, dtype)
    params = initial_params(inner_loop.policy)
    expected = update_parts(inner_loop, params, moved(data, CPU, dtype))
    notes: list[str] = []
    compiler = update_compiler(cuda, compiled=False, note=notes.append) if is_recorded else None
    on_device = moved(params, cuda, dtype), moved(data, cuda, dtype)
    for _ in range(3 if is_recorded else 1):
        parts = update_parts(inner_loop, *on_device, compiler)
        for value, wanted in zip(parts, expected, strict=True):
            assert value.device == cuda
            assert relative(value, wanted) <= tolerance
    assert notes == []


def test_nothing_waits_for_the_device_in_the_update(cuda, episodes):
    inner_loop, data = episodes
    inner_loop.policy.to(CPU, torch.float32)
    params = moved(initial_params(inner_loop.policy), cuda, torch.float32)
    data = moved(data, cuda, torch.float32)
    compiler = update_compiler(cuda, compiled=False, note=print)
    for which in (None, compiler):
        update_parts(inner_loop, params, data, which)
        torch.cuda.set_sync_debug_mode("error")
        try:
            update_parts(inner_loop, params, data, which)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("preset", ["navigation", "half_cheetah_vel"])
def test_a_meta_iteration_in_double_precision(cuda, monkeypatch, preset: str):
    """Everything: the policies act there, too, on the same tasks and noise."""
    noise_of = RandomStreams.action_noise
    monkeypatch.setattr(
        RandomStreams, "action_noise", lambda *arguments: noise_of(*arguments).double()
    )
    monkeypatch.setattr(rl, "make_policy", _in_double(rl.make_policy))
    results = {}
    for device in ("cpu", "cuda"):
        results[device] = meta_iteration(monkeypatch, preset, f"run.device={device}")
    (expected, on_host, _), (params, on_device, metrics) = results["cpu"], results["cuda"]
    for ours, theirs in zip(on_device, on_host, strict=True):
        assert torch.equal(ours.valid.cpu(), theirs.valid)
        # The robot is chaotic: what is rounded differently grows with every step.
        tolerance = DOUBLE if preset == "navigation" else 1e-6
        assert relative(ours.observation, theirs.observation) <= tolerance
        assert relative(ours.log_prob, theirs.log_prob) <= tolerance
    assert metrics["accepted"]
    tolerance = DOUBLE if preset == "navigation" else 1e-4
    for name, value in expected.items():
        assert value.dtype == torch.float64
        assert relative(params[name], value) <= tolerance, name


def meta_iteration(monkeypatch, preset: str, *settings: str, repeats: int = 1):
    """The first one, perhaps made several times: new parameters, episodes and metrics."""
    plays, play_of = [], RLProblem._play
    with (
        monkeypatch.context() as patch,
        RLProblem(load_config(preset, [*SETTINGS, *settings])) as problem,
    ):
        patch.setattr(RLProblem, "_play", lambda *args: plays.append(play_of(*args)) or plays[-1])
        problem.notify = print
        for _ in range(repeats):
            clock = StageClock(problem.device)
            state, metrics = problem.meta_iteration(problem.initial_state(), clock)
    return state.params, plays[-1].episodes, metrics


def _in_double(policy_class):
    return lambda *sizes, **options: policy_class(*sizes, **options).double()


@pytest.mark.parametrize("preset", ["navigation", "half_cheetah_vel"])
# It is what says that a policy's kernels could not be recorded.
@pytest.mark.filterwarnings("error:the policy's kernels")
def test_two_shards_act_at_the_same_time_as_one_after_another(cuda, monkeypatch, preset: str):
    """With a graph, a stream and memory for each."""
    episodes = []
    for num_threads in (1, 4):
        settings = (f"rollout.num_threads={num_threads}", "run.device=cuda")
        _, rollouts, _ = meta_iteration(monkeypatch, preset, *settings, repeats=2)
        episodes.append(rollouts)
    for one, other in zip(*episodes, strict=True):
        assert torch.equal(one.action, other.action)
        assert torch.equal(one.observation, other.observation)


@pytest.mark.parametrize("preset", ["sine", "sine_fomaml", "sine_reptile"])
def test_supervised_updates(cuda, preset: str):
    results = {}
    for device in ("cpu", "cuda"):
        config = load_config(preset, ["run.compile=false", f"run.device={device}"])
        with SupervisedProblem(config) as problem:
            notes: list[str] = []
            problem.notify = notes.append
            state = problem.initial_state()
            for _ in range(3):
                state, _ = problem.meta_iteration(state, StageClock(problem.device))
            results[device] = state.learned
            assert notes == []
    for value, wanted in zip(*map(tree_leaves, (results["cuda"], results["cpu"])), strict=True):
        if wanted is not None:
            assert relative(value, wanted) <= SINGLE
