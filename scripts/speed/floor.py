"""The meta-update beside the time that its matrix products alone would take."""

import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from meta_rl.algorithms import maml_trpo
from meta_rl.problems.rl import RLProblem
from meta_rl.runtime.stage_clock import StageClock
from speed.experiment_process import ExperimentProcess
from speed.stages import UPDATE_STAGES, measured_stages, tracing_at_once
from speed.workloads import PAPER

# Large enough for the best rate, and done in a fraction of a second.
SQUARE_SIZE = {"cpu": 2048, "cuda": 8192}


class Layout(NamedTuple):
    """How a tensor lies in memory."""

    shape: torch.Size
    stride: tuple[int, ...]


class Product(NamedTuple):
    """A matrix product as torch was asked for it.

    Attributes:
        function: the operator.
        arguments: a layout for each tensor, everything else as it was.
    """

    function: Any
    arguments: tuple[Any, ...]


class ProductCounter(TorchDispatchMode):
    """Counts the matrix products that run inside, whatever transformation asked for them.

    Attributes:
        flops: floating-point operations so far, a multiplication and an addition counting two.
        products: how often each one ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs the operator."""
        result = func(*args, **(kwargs or {}))
        flops_of = flop_registry.get(func.overloadpacket)
        if flops_of is not None:
            self.flops += flops_of(*args, **(kwargs or {}), out_val=result)
            layouts = (Layout(x.shape, x.stride()) if isinstance(x, Tensor) else x for x in args)
            self.products[Product(func, tuple(layouts))] += 1
        return result


def measure_floors(device: str, num_rounds: int) -> dict[str, Any]:
    """HalfCheetahVel's and 2D navigation's update, each in a process of its own."""
    floors = {}
    for name, settings in PAPER.items():
        with ExperimentProcess(settings, device) as process:
            floors[name] = process.run(measure_floor, num_rounds)
    return floors


def measure_floor(experiment: RLProblem, num_rounds: int) -> dict[str, Any]:
    """Operations of one update, two rates of multiplying matrices, and what they leave open.

    The one rate is that of a large square product; the other that of the update's own products,
    each repeated alone on operands that lie as they lay there.
    """
    device = experiment.device
    update = repeatable_update(experiment)
    counters = {name: ProductCounter() for name in UPDATE_STAGES}
    with measured_stages(lambda name: counters[name]):
        update()
    flops = sum(counter.flops for counter in counters.values())
    products = sum((counter.products for counter in counters.values()), Counter[Product]())

    size = SQUARE_SIZE[device.type]
    square = torch.randn(size, size, device=device)
    updating, multiplying, own_products = [], [], []
    for _ in range(num_rounds):
        updating.append(seconds_of(update, device))
        multiplying.append(seconds_of(lambda: square @ square, device))
        own_products.append(time_products(products, device))
    flops_per_second = 2 * size**3 / statistics.median(multiplying)
    seconds, own_seconds = statistics.median(updating), statistics.median(own_products)
    return {
        "num_rounds": num_rounds,
        "gflop": flops / 1e9,
        **{f"gflop_{name}": counter.flops / 1e9 for name, counter in counters.items()},
        "gflop_per_second": flops_per_second / 1e9,
        "gflop_per_second_own_products": flops / own_seconds / 1e9,
        "seconds_update": seconds,
        "seconds_floor": flops / flops_per_second,
        "seconds_own_products": own_seconds,
        "update_over_floor": seconds * flops_per_second / flops,
        "update_over_own_products": seconds / own_seconds,
    }


def repeatable_update(experiment: RLProblem) -> Callable[[], object]:
    """The meta-update of one meta-iteration, on its episodes, as often as wanted."""
    update = maml_trpo.maml_trpo_update
    wrapped = patch.object(maml_trpo, "maml_trpo_update", wraps=update)
    with tracing_at_once(), wrapped as recorded:
        experiment.meta_iteration(experiment.initial_state(), StageClock(experiment.device))
    call = recorded.call_args
    return lambda: update(*call.args, **call.kwargs)


def time_products(products: Counter[Product], device: torch.device) -> float:
    """Seconds of all products, each measured alone."""
    return sum(count * time_product(product, device) for product, count in products.items())


def time_product(product: Product, device: torch.device, num_repeats: int = 5) -> float:
    """Median seconds of a product of random operands."""
    arguments = [
        random_operand(x, device) if isinstance(x, Layout) else x for x in product.arguments
    ]

    def multiply() -> None:
        product.function(*arguments)

    multiply()
    return statistics.median(seconds_of(multiply, device) for _ in range(num_repeats))


def random_operand(layout: Layout, device: torch.device) -> Tensor:
    """A tensor that lies in memory as the given one did."""
    extent = 1 + sum(
        (length - 1) * stride for length, stride in zip(layout.shape, layout.stride, strict=True)
    )
    return torch.randn(extent, device=device).as_strided(layout.shape, layout.stride)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the work is done, on the device too."""
    clock = StageClock(device)
    with clock.measure("work"):
        work()
    return clock.total
