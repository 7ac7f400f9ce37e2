"""Every random number has one name, and different names have different numbers."""

import itertools
import subprocess
import sys

import numpy as np
import torch

from meta_rl.runtime.seeding import RandomStreams, Split, parameter_generator

CPU = torch.device("cpu")
KEYS = list(itertools.product((0, 1), Split, (0, 1), (0, 1)))  # seed, split, iteration, stage


def streams(seed: int, split: Split, meta_iteration: int) -> RandomStreams:
    return RandomStreams(seed, split, meta_iteration)


def test_action_noise_differs_by_every_key():
    noise = [streams(*key).action_noise(stage, (2, 3, 4, 2), CPU) for *key, stage in KEYS]
    rows = torch.cat([x.reshape(2 * 3 * 4, 2) for x in noise])
    assert len(torch.unique(rows, dim=0)) == len(rows) == 24 * len(KEYS)


def test_reset_seeds_differ_by_every_key():
    seeds = [seed for *key, stage in KEYS for seed in streams(*key).reset_seeds(stage, 5, 4)]
    assert len(set(seeds)) == len(seeds) == 20 * len(KEYS)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_tasks_differ_by_seed_split_and_iteration():
    keys = list(itertools.product((0, 1), Split, (0, 1, 2)))
    draws = {tuple(streams(*key).task_generator().uniform(size=3)) for key in keys}
    assert len(draws) == len(keys)


def test_the_streams_of_one_name_are_apart():
    """Tasks, initial states, noise and parameters that began alike would be correlated."""
    one = streams(0, Split.TRAIN, 0)
    first_bits = {
        one.task_generator().bit_generator.random_raw(),
        np.random.default_rng(one._sequence(0, 1, 0)).bit_generator.random_raw(),
        np.random.default_rng(one._sequence(0, 2, 0)).bit_generator.random_raw(),
        np.random.default_rng(one._sequence(0, 3, 0)).bit_generator.random_raw(),
    }
    assert len(first_bits) == 4


def test_a_tasks_numbers_do_not_depend_on_the_rest_of_the_batch():
    one = streams(4, Split.TRAIN, 9)
    few, many = (one.action_noise(1, (n, 3, 4, 2), CPU) for n in (2, 5))
    assert torch.equal(few, many[:2])
    assert one.reset_seeds(1, 2, 3) == one.reset_seeds(1, 5, 3)[:6]


def test_noise_is_standard_normal_float32():
    noise = streams(0, Split.TEST, 0).action_noise(0, (10, 10, 100, 10), CPU)
    assert noise.dtype == torch.float32
    # Of 100,000 draws, mean and standard deviation are off by .003 and .002: five times that.
    assert abs(noise.mean()) < 0.016
    assert abs(noise.std() - 1) < 0.012


def test_numbers_are_the_same_in_every_process_and_no_global_state_is_used():
    code = (
        "import numpy, random, torch, sys\n"
        "numpy.random.seed(int(sys.argv[1])); torch.manual_seed(int(sys.argv[1]))\n"
        "from meta_rl.runtime.seeding import RandomStreams, Split, parameter_generator\n"
        "s = RandomStreams(12345678901234567890123, Split.VALIDATION, 3)\n"
        "print(s.task_generator().uniform(), s.reset_seeds(2, 2, 2))\n"
        "print(s.action_noise(1, (1, 1, 2, 2), torch.device('cpu')).tolist())\n"
        "print(torch.randn(3, generator=parameter_generator(5)).tolist())\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, argument], capture_output=True, text=True, check=True
        ).stdout
        for argument in "12"
    }
    assert len(printed) == 1


def test_initial_parameters_differ_by_seed():
    draws = {tuple(torch.randn(3, generator=parameter_generator(seed)).tolist()) for seed in (0, 1)}
    assert len(draws) == 2
