"""How a HalfCheetahVel meta-iteration grows with each of its sizes, the others held."""

from contextlib import ExitStack
from typing import Any

from speed.experiment_process import ExperimentProcess, peak_memory
from speed.stages import median_seconds, time_round, warm_up
from speed.workloads import HALF_CHEETAH

BASE = {"tasks": 20, "episodes": 10, "horizon": 50, "width": 100, "inner_steps": 1}
VARIED = {
    "tasks": (5, 10, 20, 40, 80, 160),
    "episodes": (5, 10, 20, 40),
    "horizon": (25, 50, 100, 200),
    "width": (25, 50, 100, 200),
    "inner_steps": (1, 2, 3),
}
Sizes = tuple[tuple[str, int], ...]


def measure_growth(device: str, num_rounds: int) -> dict[str, Any]:
    """Every configuration in turns, each in a process of its own."""
    configurations = {sizes_with(name, v) for name, values in VARIED.items() for v in values}
    with ExitStack() as stack:
        processes = {
            sizes: stack.enter_context(ExperimentProcess(settings(dict(sizes)), device))
            for sizes in sorted(configurations)
        }
        for warming in [process.start(warm_up) for process in processes.values()]:
            warming.result()
        iterations: dict[Sizes, list[dict[str, float]]] = {sizes: [] for sizes in processes}
        for _ in range(num_rounds):
            for sizes, process in processes.items():
                iterations[sizes] += process.run(time_round)
        measured = {
            sizes: {**median_seconds(iterations[sizes]), **process.run(peak_memory)}
            for sizes, process in processes.items()
        }
    return {
        "num_rounds": num_rounds,
        "base": BASE,
        "varied": {
            name: [{"value": value, **measured[sizes_with(name, value)]} for value in values]
            for name, values in VARIED.items()
        },
    }


def sizes_with(name: str, value: int) -> Sizes:
    """The base with one size changed, hashable."""
    return tuple((BASE | {name: value}).items())


def settings(sizes: dict[str, int]) -> tuple[str, ...]:
    """The preset and the overrides of these sizes."""
    return (
        *HALF_CHEETAH,
        f"rollout.meta_batch_size={sizes['tasks']}",
        f"rollout.episodes_per_task={sizes['episodes']}",
        f"rollout.horizon={sizes['horizon']}",
        f"policy.hidden_sizes=[{sizes['width']},{sizes['width']}]",
        f"adaptation.num_adaptation_steps={sizes['inner_steps']}",
    )
