"""Randomness as a function: every draw is named by where it belongs, and no state is kept.

Each generator comes from ``SeedSequence(seed, spawn_key=(split, meta_iteration, stage, stream,
task))``. A resumed run therefore draws what an uninterrupted one would have drawn, and a task's
noise does not depend on which other tasks share its batch.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Split(IntEnum):
    """Which tasks: training never draws from the streams of the other two."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


class _Stream(IntEnum):
    TASK = 0
    RESET = 1
    ACTION = 2
    PARAMETERS = 3
    ALGORITHM = 4


@dataclass(frozen=True)
class RandomStreams:
    """All random numbers of one meta-iteration or one evaluation.

    Attributes:
        seed: the run's or the evaluation's seed.
        split: which tasks.
        meta_iteration: which iteration; evaluations use 0, so that they all see the same tasks.
        first_task: index among all tasks of the first one that this process plays.
    """

    seed: int
    split: Split
    meta_iteration: int
    first_task: int = 0

    def task_generator(self) -> np.random.Generator:
        """The generator that the tasks are drawn from."""
        return np.random.default_rng(self._sequence(0, _Stream.TASK, 0))

    def reset_seeds(self, stage: int, num_tasks: int, num_episodes: int) -> list[int]:
        """Seeds of the initial states, task by task, ``num_tasks * num_episodes`` in all."""
        return [
            int(seed)
            for task in range(self.first_task, self.first_task + num_tasks)
            for seed in self._sequence(stage, _Stream.RESET, task).generate_state(num_episodes)
        ]

    def action_noise(
        self, stage: int, shape: tuple[int, int, int, int], device: torch.device
    ) -> Tensor:
        """Standard normal float32 noise [M, E, T, A], each task's from a generator of its own."""
        # On its way to a GPU, from where it is fetched while the host goes on.
        noise = torch.empty(shape, dtype=torch.float32, pin_memory=device.type == "cuda")
        for task, task_noise in enumerate(noise.numpy(), start=self.first_task):
            generator = np.random.default_rng(self._sequence(stage, _Stream.ACTION, task))
            generator.standard_normal(out=task_noise, dtype=np.float32)
        return noise.to(device, non_blocking=True)

    def _sequence(self, stage: int, stream: _Stream, task: int) -> np.random.SeedSequence:
        key = (int(self.split), self.meta_iteration, stage, int(stream), task)
        return np.random.SeedSequence(self.seed, spawn_key=key)


def parameter_generator(seed: int) -> torch.Generator:
    """The generator that the initial parameters of policies and networks are drawn from."""
    return _generator(seed, _Stream.PARAMETERS)


def algorithm_generator(seed: int) -> torch.Generator:
    """The generator that an algorithm draws what else it begins with from."""
    return _generator(seed, _Stream.ALGORITHM)


def _generator(seed: int, stream: _Stream) -> torch.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(0, 0, 0, int(stream), 0))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
