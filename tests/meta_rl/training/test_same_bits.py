"""What is promised to the bit: fresh processes, two torch threads, a half-cheetah.

A half-cheetah is chaotic, and a matrix product rounds differently for another number of threads:
whatever differs anywhere shows in the weights.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[3]
SETTINGS = (
    *("rollout.meta_batch_size=6", "rollout.episodes_per_task=10", "rollout.horizon=40"),
    *("evaluation.every=0", "evaluation.num_tasks=6", "evaluation.episodes_per_task=2"),
    *("evaluation.num_adaptation_steps=0", "run.checkpoint_every=2", "run.device=cpu"),
    # The preset's radius shrinks towards the last iteration, so a longer run would start otherwise.
    *("meta_update.final_max_kl=0.02", "run.meta_iterations=2", "rollout.num_threads=2"),
)
NUM_TRAININGS = 8


def train(*arguments: str, num_ranks: int = 1) -> None:
    """A command in processes of its own, with two threads for tensors and two for MuJoCo each."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks)]
    subprocess.run(
        [
            sys.executable,
            *(launcher if num_ranks > 1 else []),
            "-m",
            "meta_rl",
            "train",
            *arguments,
        ],
        cwd=CHECKOUT,
        # Passive, because threads that wait busily hold up a machine on which other tests run.
        env=os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def weights(path: Path, meta_iteration: int = 2) -> bytes:
    return (path / f"checkpoints/iteration_{meta_iteration:06d}/model.safetensors").read_bytes()


def half_cheetah(path: Path, *more: str) -> tuple[str, ...]:
    return ("half_cheetah_vel", f"run.dir={path}", *SETTINGS, *more)


@pytest.mark.timeout(600)
def test_eight_trainings_give_one_set_of_weights(tmp_path):
    paths = [tmp_path / str(index) for index in range(NUM_TRAININGS)]
    with ThreadPoolExecutor(2) as at_a_time:
        list(at_a_time.map(lambda path: train(*half_cheetah(path)), paths))
    assert len({weights(path) for path in paths}) == 1


@pytest.mark.timeout(600)
def test_a_resumed_training_ends_as_one_that_was_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(*half_cheetah(whole, "run.meta_iterations=4"))
    train(*half_cheetah(parts))
    train("--resume", str(parts), "run.meta_iterations=4")
    assert weights(parts, 2) == weights(whole, 2)
    assert weights(parts, 4) == weights(whole, 4)


@pytest.mark.timeout(600)
def test_ranks_give_the_weights_of_one_process(tmp_path):
    paths = {num_ranks: tmp_path / str(num_ranks) for num_ranks in (1, 2, 3)}
    for num_ranks, path in paths.items():
        train(*half_cheetah(path), num_ranks=num_ranks)
    assert len({weights(path) for path in paths.values()}) == 1
