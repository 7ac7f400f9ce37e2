"""Env steps per second of HalfCheetahVel: bare physics, our sampler and Gymnasium's vectors."""

import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from gymnasium import Env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from meta_rl.config import load_config
from meta_rl.problems.rl import RLProblem
from meta_rl.runtime.cpus import num_usable_cpus
from speed.gymnasium_loop import GYMNASIUMS, OURS, makers, play
from speed.sampling import stage_work, time_physics, time_sampler
from speed.workloads import HALF_CHEETAH

EPISODES_PER_TASK = 16
HORIZON = 20
NUM_SIMULATIONS = (64, 256, 800, 3200)
# How many simulations are feasible: AsyncVectorEnv takes a process for each of them, and every
# environment of Gymnasium's interface 1.6 MB, since it has a model of its own.
LARGEST = {"async_ours": 64, "async_gymnasium": 64, "sync_ours": 3200, "sync_gymnasium": 800}


class Contender(NamedTuple):
    """One way of stepping so many simulations.

    Attributes:
        num_threads: of the simulator; None where it has no such choice.
        num_simulations: how many.
        play: round -> seconds of each kind of work in it, by kind.
    """

    num_threads: int | None
    num_simulations: int
    play: Callable[[int], dict[str, float]]


def measure_rates(device: str, num_rounds: int) -> dict[str, Any]:
    """Medians over the rounds of every kind, at every size, with 1, 2 and all threads.

    All but the bare physics draw actions from per-task policies of 100 x 100 in one batched
    forward, and count their resets.
    """
    thread_counts = sorted({1, 2, num_usable_cpus()})
    seconds: dict[tuple[str, int | None, int], list[float]] = {}
    with ExitStack() as stack:
        contenders = [
            contender
            for num_simulations in NUM_SIMULATIONS
            for contender in gymnasium_contenders(stack, device, num_simulations)
        ]
        contenders += [
            sampler_contender(stack, device, num_simulations, num_threads)
            for num_simulations in NUM_SIMULATIONS
            for num_threads in thread_counts
        ]
        for contender in contenders:
            contender.play(num_rounds)  # a round more, to warm up
        for number in range(num_rounds):
            for contender in contenders:
                for kind, value in contender.play(number).items():
                    key = (kind, contender.num_threads, contender.num_simulations)
                    seconds.setdefault(key, []).append(value)
    return {
        "num_rounds": num_rounds,
        "horizon": HORIZON,
        "num_simulations": NUM_SIMULATIONS,
        "rates": [
            {
                "kind": kind,
                "num_threads": num_threads,
                "num_simulations": num_simulations,
                "steps_per_second": num_simulations * HORIZON / statistics.median(values),
            }
            for (kind, num_threads, num_simulations), values in seconds.items()
        ],
    }


def make_experiment(device: str, num_simulations: int, num_threads: int) -> RLProblem:
    """HalfCheetahVel with the paper's policy and so many simulations."""
    overrides = (
        *HALF_CHEETAH[1:],
        f"run.meta_batch_size={num_simulations // EPISODES_PER_TASK}",
        f"rollout.episodes_per_task={EPISODES_PER_TASK}",
        f"rollout.horizon={HORIZON}",
        f"rollout.num_threads={num_threads}",
        f"run.device={device}",
    )
    return RLProblem(load_config(HALF_CHEETAH[0], overrides))


def sampler_contender(
    stack: ExitStack, device: str, num_simulations: int, num_threads: int
) -> Contender:
    """Our sampler, and the physics of its episodes alone."""
    experiment = stack.enter_context(make_experiment(device, num_simulations, num_threads))
    return Contender(num_threads, num_simulations, partial(play_ours, experiment))


def play_ours(experiment: RLProblem, number: int) -> dict[str, float]:
    """Seconds of the sampler and of the physics."""
    sampling, rollouts = time_sampler(experiment, stage_work(experiment, number))
    physics = time_physics(rollouts, experiment.config.rollout.num_threads)
    return {"physics": physics, "sampler": sampling}


def gymnasium_contenders(stack: ExitStack, device: str, num_simulations: int) -> list[Contender]:
    """Gymnasium's vector environments of both half-cheetahs, where they are feasible."""
    experiment = stack.enter_context(make_experiment(device, num_simulations, num_threads=1))
    contenders = []
    for kind, largest in LARGEST.items():
        if num_simulations <= largest:
            make = in_processes if kind.startswith("async") else SyncVectorEnv
            env_id = OURS if kind.endswith("ours") else GYMNASIUMS
            env = make(makers(env_id, stage_work(experiment, 0)))
            stack.callback(env.close)
            play_round = partial(play_gymnasium, experiment, env, kind)
            contenders.append(Contender(None, num_simulations, play_round))
    return contenders


def in_processes(make_each: Sequence[Callable[[], Env]]) -> AsyncVectorEnv:
    """An AsyncVectorEnv whose workers are not forked from here, where autograd may have run."""
    multiprocessing.set_forkserver_preload(["meta_rl.training.jobs", "envs.half_cheetah"])
    return AsyncVectorEnv(make_each, context="forkserver")


def play_gymnasium(
    experiment: RLProblem, env: VectorEnv, kind: str, number: int
) -> dict[str, float]:
    """Seconds of a vector environment."""
    return {kind: play(env, experiment.policy, stage_work(experiment, number))[0]}
