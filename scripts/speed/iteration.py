"""One meta-iteration at the paper's settings, by stage and beside its physics."""

import statistics
from contextlib import ExitStack
from itertools import chain
from typing import Any

from meta_rl.config import load_config
from meta_rl.problems.rl import RLProblem
from speed.experiment_process import ExperimentProcess, peak_memory
from speed.sampling import stage_work, time_physics, time_sampler
from speed.stages import median_seconds, time_round, warm_up
from speed.workloads import COMPILED, PAPER


def measure_iterations(device: str, num_rounds: int) -> dict[str, Any]:
    """HalfCheetahVel and 2D navigation, with and without a compiled update, in turns."""
    workloads = PAPER | COMPILED
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(ExperimentProcess(settings, device))
            for name, settings in workloads.items()
        }
        for process in processes.values():
            process.run(warm_up)
        # Before anything but meta-iterations has run there.
        peaks = {name: process.run(peak_memory) for name, process in processes.items()}
        rounds: dict[str, list[list[dict[str, float]]]] = {name: [] for name in workloads}
        stages = []
        for number in range(num_rounds):
            for name, process in processes.items():
                rounds[name].append(process.run(time_round))
            stages.append(processes["half_cheetah"].run(time_stage, number))
    columns = {
        name: {
            "settings": settings,
            "num_rounds": num_rounds,
            "curvature_stride": load_config(settings[0], settings[1:]).meta_update.curvature_stride,
            **median_seconds(list(chain.from_iterable(rounds[name]))),
            **peaks[name],
        }
        for name, settings in workloads.items()
    }
    columns["half_cheetah"]["sampler_over_physics"] = statistics.median(
        stage["physics"] / stage["sampler"] for stage in stages
    )
    for name in ("half_cheetah", "half_cheetah_compiled"):
        columns[name]["meta_iteration_over_physics"] = statistics.median(
            median_seconds(iterations)["seconds_whole"] / (2.0 * stage["physics"])
            for iterations, stage in zip(rounds[name], stages, strict=True)
        )
    return columns


def time_stage(experiment: RLProblem, index: int) -> dict[str, float]:
    """Seconds for one stage's episodes, by our sampler and as bare physics."""
    sampling, rollouts = time_sampler(experiment, stage_work(experiment, index))
    num_threads = experiment.config.rollout.num_threads
    return {"sampler": sampling, "physics": time_physics(rollouts, num_threads)}
