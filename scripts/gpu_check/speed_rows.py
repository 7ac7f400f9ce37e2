"""Rows of ``scripts/benchmark.py`` on several devices in one run, reported round by round."""

import string
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from speed.experiment_process import ExperimentProcess, host_peak_gib, peak_memory
from speed.iteration import time_stage
from speed.stages import UPDATE_STAGES, median_seconds, time_meta_iteration, warm_up
from speed.workloads import PAPER

from meta_rl.config import load_config
from meta_rl.problems import task_sources
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.tasks.glyphs import draw_glyphs
from meta_rl.tasks.image_classes import ClassSplit, random_parts, split_by_number

Report = Callable[..., None]
SUPERVISED = {
    "sine": ("sine",),
    "omniglot": (
        *("glyphs_5way_1shot", "run.meta_batch_size=32"),
        *("few_shot.shots=1", "few_shot.queries=1"),
    ),
}


def measure_rl(
    report: Report, name: str, changes: Sequence[str], devices: Sequence[str], seconds: float
) -> None:
    """Meta-iterations by stage, the devices in turns, each in a process of its own.

    Args:
        report: takes results, again and better after each round.
        name: in ``PAPER``.
        changes: of its settings.
        devices: ``cpu`` or ``cuda``.
        seconds: after which no further round begins.
    """
    settings = (*PAPER[name], *changes)
    with ExitStack() as stack:
        processes = {
            device: stack.enter_context(ExperimentProcess(settings, device)) for device in devices
        }
        for warming in [process.start(warm_up) for process in processes.values()]:
            warming.result()
        peaks = {device: process.run(peak_memory) for device, process in processes.items()}
        iterations: dict[str, list[dict[str, float]]] = {device: [] for device in devices}
        start = time.monotonic()
        while not iterations[devices[0]] or time.monotonic() - start < seconds:
            for device, process in processes.items():
                iterations[device].append(process.run(time_meta_iteration))
                medians = median_seconds(iterations[device])
                medians["seconds_update"] = sum(medians[f"seconds_{s}"] for s in UPDATE_STAGES)
                row = {"num_iterations": len(iterations[device]), **medians, **peaks[device]}
                report(rows={name: {device: row}})
        if name == "half_cheetah":
            for device, process in processes.items():
                stage = process.run(time_stage, 0)
                whole = median_seconds(iterations[device])["seconds_whole"]
                ratios = {
                    "sampler_over_physics": stage["physics"] / stage["sampler"],
                    "meta_iteration_over_physics": whole / (2.0 * stage["physics"]),
                }
                report(rows={name: {device: ratios}})


def measure_supervised(
    report: Report, name: str, device: str, seconds: float, *, compiled: bool
) -> None:
    """Iterations per second of supervised MAML as a training makes them."""
    task_sources.load_glyphs = few_glyphs
    preset, *changes = SUPERVISED[name]
    overrides = [*changes, f"run.compile={str(compiled).lower()}", f"run.device={device}"]
    config = load_config(preset, overrides)
    with SupervisedProblem(config) as problem, problem.around_training():
        state, clock = problem.initial_state(), StageClock(problem.device)
        notes: list[str] = []
        problem.notes.hand_to(notes.append)
        for _ in range(2):
            state, _ = problem.meta_iteration(state, clock)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            state, _ = problem.meta_iteration(state, clock)
            count += 1
        rate = count / (time.perf_counter() - start)
    row = {"iterations_per_second": rate, "notes": notes, "peak_memory_gib": host_peak_gib()}
    if device == "cuda":
        row["peak_device_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    report(rows={f"{name}_compiled" if compiled else name: {device: row}})


def few_glyphs() -> ClassSplit:
    """The letters and digits alone, since drawing all glyphs takes longer than measuring."""
    classes = draw_glyphs([ord(c) for c in string.ascii_letters + string.digits], 2)
    return split_by_number(classes, random_parts(len(classes.names), 10, 10))
