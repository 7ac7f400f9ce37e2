#!/usr/bin/env python
"""Measures the sampler against bare physics, and whole meta-iterations against their physics.

    .venv/bin/python scripts/benchmark.py

Prints a table and writes scripts/results/benchmark.json. Everything that is compared is measured
in turns within one process, and medians are taken, because machines are noisy.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import mujoco
from mujoco.batch import Batch

from envs.batched_mujoco import compile_model, load_gymnasium_spec
from meta_rl.config import load_config
from meta_rl.ops.params import repeat_per_task
from meta_rl.rollouts.environments import ShardedEnv
from meta_rl.rollouts.sharded_env import collect_sharded
from meta_rl.training.provenance import describe_process
from meta_rl.training.rl_experiment import RLExperiment
from meta_rl.training.rl_loop import meta_iteration
from meta_rl.training.seeding import RandomStreams, Split
from meta_rl.training.stage_clock import StageClock
from meta_rl.training.trainer_state import TrainerState
from meta_rl.types import RolloutBatch

RESULTS = Path(__file__).parent / "results" / "benchmark.json"
LABELS = {
    "physics_steps_per_second": "bare `Batch.step` loop, env steps/s",
    "sampler_steps_per_second": "sampler, env steps/s",
    "sampler_over_physics": "sampler / bare loop",
    "seconds_per_meta_iteration": "one meta-iteration, s",
    "seconds_sampling": "of which sampling, s",
    "seconds_adapting": "of which adapting and advantages, s",
    "seconds_updating": "of which updating, s",
    "meta_iteration_over_physics": "meta-iteration / bare physics of its steps",
    "peak_memory_gib": "peak memory, GiB",
}
HALF_CHEETAH = (
    "half_cheetah_vel",
    "rollout.meta_batch_size=40",
    "rollout.episodes_per_task=20",
    "rollout.horizon=200",
    "policy.hidden_sizes=[100,100]",
    "adaptation.num_adaptation_steps=1",
    "meta_update.num_cg_iterations=10",
    "run.device=cpu",
)
NAVIGATION = (
    "navigation",
    "rollout.meta_batch_size=20",
    "rollout.episodes_per_task=20",
    "rollout.horizon=100",
    "adaptation.num_adaptation_steps=1",
    "meta_update.num_cg_iterations=10",
    "run.device=cpu",
)


def benchmark_half_cheetah(num_rounds: int) -> dict[str, Any]:
    """The sampler and a meta-iteration of HalfCheetahVel, beside the physics of the same work."""
    config = load_config(HALF_CHEETAH[0], HALF_CHEETAH[1:])
    rollout = config.rollout
    num_simulations = rollout.meta_batch_size * rollout.episodes_per_task
    with RLExperiment(config) as experiment:
        env_steps = num_simulations * rollout.horizon
        physics, sampling, iterations = [], [], []
        warm_up(experiment)
        for meta_iteration_index in range(num_rounds):
            seconds, rollouts = time_sampler(experiment, meta_iteration_index)
            sampling.append(seconds)
            physics.append(time_physics(rollouts, rollout.num_threads))
            iterations.append(time_meta_iteration(experiment, meta_iteration_index))
    return {
        "settings": HALF_CHEETAH,
        "num_rounds": num_rounds,
        "curvature_stride": config.meta_update.curvature_stride,
        "physics_steps_per_second": env_steps / statistics.median(physics),
        "sampler_steps_per_second": env_steps / statistics.median(sampling),
        "sampler_over_physics": statistics.median(
            bare / sampled for bare, sampled in zip(physics, sampling, strict=True)
        ),
        "meta_iteration_over_physics": statistics.median(
            sum(iteration.values()) / (2.0 * bare)
            for bare, iteration in zip(physics, iterations, strict=True)
        ),
        **medians(iterations),
        "peak_memory_gib": peak_memory_gib(),
    }


def benchmark_navigation(num_rounds: int) -> dict[str, Any]:
    """A meta-iteration of 2D navigation, 20 tasks x 20 episodes x 100 steps."""
    config = load_config(NAVIGATION[0], NAVIGATION[1:])
    with RLExperiment(config) as experiment:
        warm_up(experiment)
        iterations = [time_meta_iteration(experiment, index) for index in range(num_rounds)]
    return {
        "settings": NAVIGATION,
        "num_rounds": num_rounds,
        "curvature_stride": config.meta_update.curvature_stride,
        **medians(iterations),
        "peak_memory_gib": peak_memory_gib(),
    }


def warm_up(experiment: RLExperiment) -> None:
    """One meta-iteration, so that imports and first allocations are not counted."""
    time_meta_iteration(experiment, 10_000)


def time_meta_iteration(experiment: RLExperiment, index: int) -> dict[str, float]:
    """Seconds by kind of work of the meta-iteration with this index, from the initial policy."""
    clock = StageClock(experiment.device)
    meta_iteration(experiment, TrainerState(experiment.initial_params, index), clock)
    return clock.seconds


def time_sampler(experiment: RLExperiment, index: int) -> tuple[float, RolloutBatch]:
    """Seconds for the episodes of one stage, and the episodes."""
    rollout, env = experiment.config.rollout, experiment.env
    num_tasks, num_episodes = rollout.meta_batch_size, rollout.episodes_per_task
    streams = RandomStreams(experiment.config.run.seed, Split.TRAIN, index)
    tasks = env.sample_tasks(num_tasks, streams.task_generator())
    params = repeat_per_task(experiment.initial_params, num_tasks)
    shape = (num_tasks, num_episodes, rollout.horizon, action_size(env))
    start = time.perf_counter()
    rollouts = collect_sharded(
        experiment.inner_loop.policy,
        params,
        env,
        tasks,
        reset_seeds=streams.reset_seeds(0, num_tasks, num_episodes),
        noise=streams.action_noise(0, shape, experiment.device),
    )
    return time.perf_counter() - start, rollouts


def time_physics(rollouts: RolloutBatch, num_threads: int) -> float:
    """Seconds that a bare ``Batch.step`` loop takes to replay the same episodes.

    The same initial states and actions give the same work, up to what the rounding to float32
    changes. x is left at zero: nothing depends on it.
    """
    observation = rollouts.observation.flatten(0, 1).double().numpy()
    control = rollouts.action.flatten(0, 1).clamp(-1.0, 1.0).double().transpose(0, 1).numpy()
    batch = Batch(
        compile_model(load_gymnasium_spec("half_cheetah.xml")), len(observation), num_threads
    )
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    num_positions = qpos.shape[1] - 1
    batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE.value)
    qpos[:, 0], qpos[:, 1:] = 0.0, observation[:, 0, :num_positions]
    qvel[:] = observation[:, 0, num_positions:]
    batch.forward()
    start = time.perf_counter()
    for control_N in control:
        ctrl[:] = control_N
        batch.step(nstep=5)
    return time.perf_counter() - start


def action_size(env: ShardedEnv) -> int:
    """Length of the action vector."""
    return env.single_action_space.shape[0]


def medians(iterations: list[dict[str, float]]) -> dict[str, float]:
    """Median seconds of a meta-iteration and of each kind of work in it."""
    return {
        "seconds_per_meta_iteration": statistics.median(sum(i.values()) for i in iterations),
        **{
            f"seconds_{name}": statistics.median(i[name] for i in iterations)
            for name in iterations[0]
        },
    }


def peak_memory_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Runs each benchmark in a process of its own, so that peak memories are separate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind")
    num_rounds = parser.parse_args().rounds
    results: dict[str, Any] = {"machine": describe_process()}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for benchmark in (benchmark_half_cheetah, benchmark_navigation):
            name = benchmark.__name__.removeprefix("benchmark_")
            results[name] = pool.apply(benchmark, (num_rounds,))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table())


def table() -> str:
    """The README's table, from the results file."""
    results = json.loads(RESULTS.read_text())
    columns = [results["half_cheetah"], results["navigation"]]
    lines = [
        "| | HalfCheetahVel, 40 x 20 x 200 | 2D navigation, 20 x 20 x 100 |",
        "|---|---|---|",
    ]
    for key, label in LABELS.items():
        cells = (f"{column[key]:,.2f}" if key in column else "" for column in columns)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    machine = results["machine"]
    lines += [
        "",
        "Two threads where there are two CPUs, 10 CG iterations, curvature from every "
        f"{columns[0]['curvature_stride']}th and {columns[1]['curvature_stride']}th time step; "
        f"medians of {columns[0]['num_rounds']} rounds; {machine['hardware']['cpu']}, "
        f"{machine['hardware']['num_cpus']} CPUs, torch {machine['versions']['torch']}, "
        f"mujoco {machine['versions']['mujoco']}, commit {machine['git']['commit'][:7]}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
