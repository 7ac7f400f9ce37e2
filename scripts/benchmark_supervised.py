#!/usr/bin/env python
"""Measures supervised MAML iterations against a loop over tasks.

    .venv/bin/python scripts/benchmark_supervised.py

The loop calls torch.autograd.grad(create_graph=True) for every task, with torch's own layers. An
iteration is the draw of the tasks, the second-order meta-gradient and Adam's step. Everything that
is compared is measured in turns within one process, and medians are taken, because machines are
noisy. Prints a table and writes scripts/results/benchmark_supervised.json.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from meta_rl.algorithms.maml import maml_gradient
from meta_rl.config import load_config
from meta_rl.ops.adam import AdamMoments
from meta_rl.ops.params import ravel
from meta_rl.ops.tracing import traced_at_first_call
from meta_rl.problems import task_sources
from meta_rl.problems.supervised import SupervisedProblem
from meta_rl.runs.provenance import describe_process
from meta_rl.runtime.compilation import TorchCompiler
from meta_rl.tasks.image_classes import ClassSplit, ImageClasses
from meta_rl.types import Examples, Params, SupervisedBatch

RESULTS = Path(__file__).parent / "results" / "benchmark_supervised.json"
SINE = ("sine", "adaptation.inner_step_size=0.01", "run.device=cpu")
IMAGES = (
    *("glyphs_5way_1shot", "meta_update.meta_batch_size=32", "run.device=cpu"),
    *("few_shot.shots=1", "few_shot.queries=1"),
)
LABELS = {
    "loop": "a loop over tasks, ms",
    "eager": "ours, ms",
    "compiled": "ours with torch.compile, ms",
    "eager_over_loop": "ours / loop",
    "compiled_over_loop": "compiled / loop",
}
Forward = Callable[[Params, Tensor], Tensor]


def sine_forward(params: Params, x: Tensor) -> Tensor:
    """The perceptron of the sinusoids with torch's layers."""
    weights = list(params.values())
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = functional.linear(x, weight, bias).relu()
    return functional.linear(x, weights[-2], weights[-1])


def image_forward(params: Params, x: Tensor) -> Tensor:
    """MAML's convolutional net with torch's layers."""
    x = x.permute(0, 3, 1, 2)
    for layer in range(4):
        weight = params[f"weights.{layer}"].permute(3, 2, 0, 1)
        x = functional.conv2d(x, weight, stride=2, padding=1)
        scale, shift = params[f"scales.{layer}"], params[f"shifts.{layer}"]
        x = functional.batch_norm(x, None, None, scale, shift, training=True).relu()
    return functional.linear(x.mean((2, 3)), params["head.weight"], params["head.bias"])


def loop_gradient(
    experiment: SupervisedProblem, forward: Forward, params: Params, batch: SupervisedBatch
) -> Params:
    """The meta-gradient, one task after the other."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    step_size = experiment.config.adaptation.inner_step_size
    num_tasks = len(batch.support.input)
    total = {name: torch.zeros_like(value) for name, value in params.items()}

    def loss(adapted: Params, examples: Examples, task: int) -> Tensor:
        return experiment.learner.loss(
            forward(adapted, examples.input[task]), examples.target[task]
        )

    for task in range(num_tasks):
        inner = torch.autograd.grad(
            loss(leaves, batch.support, task), list(leaves.values()), create_graph=True
        )
        adapted = {
            name: value - step_size * g
            for (name, value), g in zip(leaves.items(), inner, strict=True)
        }
        outer = torch.autograd.grad(loss(adapted, batch.query, task), list(leaves.values()))
        for name, value in zip(leaves, outer, strict=True):
            total[name] += value / num_tasks
    return total


def benchmark(
    settings: tuple[str, ...], forward: Forward, num_rounds: int, num_repeats: int
) -> dict[str, Any]:
    """Median milliseconds of an iteration of each kind."""
    notes: list[str] = []
    config = load_config(settings[0], settings[1:])
    with SupervisedProblem(config) as experiment, experiment.around_training():
        num_threads = torch.get_num_threads()
        learned, step_size = experiment.initial_state().learned, torch.tensor(0.001)
        moments = AdamMoments(**learned.memory)

        def step(*tensors: Any) -> Any:  # tracing counts a method's self as an argument
            return experiment.algorithm.step(*tensors)

        eager = traced_at_first_call(step)
        compiler = TorchCompiler(experiment.device, notes.append)
        fast = compiler(step, otherwise=eager)

        def loop(number: int) -> None:
            batch = experiment.training_data(number).batch
            loop_gradient(experiment, forward, learned.params, batch)

        def ours(update: Callable[..., Any]) -> Callable[[int], None]:
            def iteration(number: int) -> None:
                batch = experiment.training_data(number).batch
                update(learned.params, moments, batch, step_size)

            return iteration

        kinds = {"loop": loop, "eager": ours(eager), "compiled": ours(fast)}
        difference = largest_difference(experiment, forward)
        for iteration in kinds.values():
            iteration(0)
        if any("uncompiled" in note for note in notes):
            del kinds["compiled"]
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for number in range(num_rounds):
            for name, iteration in kinds.items():
                start = time.perf_counter()
                for repeat in range(num_repeats):
                    iteration(number * num_repeats + repeat)
                seconds[name].append((time.perf_counter() - start) / num_repeats)
    result = {name: 1000.0 * statistics.median(values) for name, values in seconds.items()}
    ratios = {
        f"{name}_over_loop": statistics.median(
            mine / theirs for mine, theirs in zip(seconds[name], seconds["loop"], strict=True)
        )
        for name in kinds
        if name != "loop"
    }
    return {
        "settings": settings,
        "num_rounds": num_rounds,
        "num_threads": num_threads,
        "largest_difference": difference,
        "notes": notes,
        **result,
        **ratios,
    }


def largest_difference(experiment: SupervisedProblem, forward: Forward) -> float:
    """Between the loop's meta-gradient and ours, relative to the largest entry."""
    params = experiment.initial_state().params
    batch = experiment.training_data(0).batch
    adaptation = experiment.config.adaptation
    ours, _ = maml_gradient(
        experiment.learner,
        params,
        batch,
        step_size=adaptation.inner_step_size,
        num_steps=adaptation.num_adaptation_steps,
        first_order=False,
    )
    theirs = loop_gradient(experiment, forward, params, batch)
    return float((ours - ravel(theirs)).abs().max() / ravel(theirs).abs().max())


def random_images() -> ClassSplit:
    """Images of Omniglot's size and share of ink, so that no data is needed."""
    rng = np.random.default_rng(0)

    def classes(first: int) -> ImageClasses:
        ink = (rng.random((40, 20, 28, 28, 1)) < 0.08).astype(np.uint8) * 255
        return ImageClasses.from_array(ink, tuple(str(first + c) for c in range(40)))

    return ClassSplit(classes(0), classes(100), classes(200))


def main() -> None:
    """Runs both benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each kind")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    task_sources.load_glyphs = random_images
    results = {
        "machine": describe_process(),
        "sine": benchmark(SINE, sine_forward, arguments.rounds, 20),
        "images": benchmark(IMAGES, image_forward, arguments.rounds, 1),
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table())


def table() -> str:
    """The README's table, from the results file."""
    results = json.loads(RESULTS.read_text())
    columns = [results["sine"], results["images"]]
    lines = [
        "| one second-order MAML iteration | sinusoids, 25 tasks, K = 10 "
        "| images, 32 tasks, 5-way 1-shot |",
        "|---|---|---|",
    ]
    for key, label in LABELS.items():
        cells = (f"{column[key]:.2f}" if key in column else "" for column in columns)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    machine = results["machine"]
    lines += [
        "",
        f"{columns[0]['num_threads']} and {columns[1]['num_threads']} threads; medians of "
        f"{columns[0]['num_rounds']} rounds; "
        f"{machine['hardware']['cpu']}, {machine['hardware']['num_cpus']} CPUs, torch "
        f"{machine['versions']['torch']}, commit {machine['git']['commit'][:7]}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
