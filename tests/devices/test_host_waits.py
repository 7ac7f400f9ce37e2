"""How often the host waits for a device in a meta-iteration, counted on a stand-in for a GPU.

Each wait empties the queue of kernels, and the device idles until the host has filled it again. The
numbers here are what an iteration needs: actions that environments wait for, checks that everything
is finite, and one per candidate of a line search.
"""

from collections import Counter

import numpy as np
import pytest
import torch

from meta_rl.algorithms import maml
from meta_rl.config import load_config
from meta_rl.problems import rl, supervised, task_sources
from meta_rl.problems.rl import RLProblem
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.tasks.image_classes import ClassSplit, ImageClasses

HORIZON = 10
RL = (
    *("rollout.meta_batch_size=4", "rollout.episodes_per_task=3", f"rollout.horizon={HORIZON}"),
    *("rollout.num_threads=1", "meta_update.curvature_stride=2", "run.device=cpu"),
    # Where a chunk holds all tasks, the CPU does what a GPU does.
    "meta_update.steps_per_chunk=1000000",
)
COPY, READ = "a copy to the host", "aten::_local_scalar_dense"
# An eigendecomposition looks whether it has converged.
BASELINE = "aten::_linalg_eigh"


@pytest.mark.parametrize(("preset", "num_shards"), [("navigation", 1), ("half_cheetah_vel", 2)])
def test_a_meta_iteration(stand_in, monkeypatch, preset: str, num_shards: int):
    config = load_config(preset, RL)
    with RLProblem(config) as problem:
        expected, _ = problem.meta_iteration(problem.initial_state(), StageClock(problem.device))

    monkeypatch.setattr(rl, "resolve_device", lambda *_: stand_in.device)
    sum_up, before = rl.episode_summary, []

    def counted(*arguments, **options):
        before.append(stand_in.waits.total())
        return sum_up(*arguments, **options)

    monkeypatch.setattr(rl, "episode_summary", counted)
    with stand_in, RLProblem(config) as problem:
        state = problem.initial_state()
        stand_in.waits.clear()
        after, metrics = problem.meta_iteration(state, StageClock(problem.device))
        waits = Counter(stand_in.waits)

    num_stages = config.adaptation.num_adaptation_steps + 1
    num_candidates = metrics["num_backtracks"] + 1
    actions = num_stages * num_shards * HORIZON
    # Of the parameters of each stage, and of the new ones.
    num_checks = num_stages + 1
    # Returns and env steps of each stage.
    num_sums = 2 * num_stages
    assert waits.total() - before[0] == num_sums + 1
    assert waits[COPY] + waits[READ] == actions + 1 + num_candidates + num_checks + num_sums + 1
    assert waits[BASELINE] <= num_stages
    assert set(waits) <= {COPY, READ, BASELINE}
    assert after.env_steps == num_stages * 4 * 3 * HORIZON
    # The device computed what the CPU does, so that nothing of it was left out.
    for name, value in expected.params.items():
        assert torch.equal(after.params[name].held, value), name


IMAGES = ("meta_update.meta_batch_size=2", "network.num_filters=2", "few_shot.ways=2")
SUPERVISED = {
    "sine": (),
    "sine_fomaml": (),
    "sine_reptile": (),
    "glyphs_5way_1shot": IMAGES,
    "glyphs_5way_1shot_reptile": IMAGES,
}


def random_images() -> ClassSplit:
    rng = np.random.default_rng(0)

    def classes(first: int) -> ImageClasses:
        images = rng.integers(256, size=(8, 20, 28, 28, 1), dtype=np.uint8)
        return ImageClasses.from_array(images, tuple(str(first + c) for c in range(8)))

    return ClassSplit(classes(0), classes(100), classes(200))


@pytest.mark.parametrize("preset", SUPERVISED)
def test_a_supervised_meta_iteration_waits_once(stand_in, monkeypatch, preset: str):
    config = load_config(preset, [*SUPERVISED[preset], "run.device=cpu", "run.compile=false"])
    monkeypatch.setattr(task_sources, "load_glyphs", random_images)
    # What the stand-in holds cannot be traced.
    monkeypatch.setattr(maml, "traced_at_first_call", lambda function: function)

    def iterate() -> tuple[TrainerState, int]:
        with SupervisedProblem(config) as problem:
            before = stand_in.waits.total()
            state, _ = problem.meta_iteration(problem.initial_state(), StageClock(problem.device))
            return state, stand_in.waits.total() - before

    expected, _ = iterate()
    monkeypatch.setattr(supervised, "resolve_device", lambda *_: stand_in.device)
    with stand_in:
        state, num_waits = iterate()
    assert num_waits == 1
    for name, value in expected.params.items():
        assert torch.equal(state.params[name].held, value), name


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: torch.equal(x, x),
        lambda x: torch.linalg.eigh(x.T @ x),
    ],
)
def test_the_stand_in_counts_every_read(stand_in, read):
    with stand_in:
        x = torch.arange(6.0).view(2, 3).to(stand_in.device)
        y = torch.tanh(x) * 2.0 + x.sum(0)
        assert stand_in.waits.total() == 0
        read(y)
        assert stand_in.waits.total() == 1


def test_the_stand_in_refuses_what_was_made_on_the_host(stand_in):
    with stand_in:
        x = torch.ones(3, device=stand_in.device)
        assert torch.equal((x * torch.tensor(2.0)).held, torch.full((3,), 2.0))
        with pytest.raises(AssertionError, match="tensors of both devices"):
            x + torch.ones(3)
        with pytest.raises(AssertionError, match="tensors of both devices"):
            torch.stack([x, torch.zeros(3)])
