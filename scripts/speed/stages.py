"""Where the time of a meta-iteration goes, without a clock inside the algorithm."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from meta_rl.algorithms import inner_loop, maml_trpo
from meta_rl.ops import tracing
from meta_rl.problems.rl import RLProblem
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runtime.stage_clock import StageClock

Measure = Callable[[str], AbstractContextManager[Any]]
UPDATE_STAGES = ("gradient", "conjugate_gradient", "line_search")
STAGES = ("sampling", "advantages", "adaptation", *UPDATE_STAGES, "rest")
ROUND_SECONDS = 3.0


@contextmanager
def measured_stages(measure: Measure) -> Iterator[None]:
    """Puts ``measure(name)`` around the parts of the meta-iterations made inside.

    The parts are advantages and ``UPDATE_STAGES``. They are functions that the algorithm calls by
    name. The curvature and the line search's evaluation are made before they are used, and both
    count: conjugate gradient's own vector arithmetic, a few sums of as many numbers as there are
    parameters, does not.
    """

    def surrounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with measure(name):
                return function(*args, **kwargs)

        return call

    def with_its_result(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        make = surrounded(name, function)
        return lambda *args, **kwargs: surrounded(name, make(*args, **kwargs))

    with ExitStack() as replaced:
        for module, function, surround, name in (
            (inner_loop, "policy_gradient_batch", surrounded, "advantages"),
            (maml_trpo, "meta_gradient", surrounded, "gradient"),
            (maml_trpo, "meta_curvature_product", with_its_result, "conjugate_gradient"),
            (maml_trpo, "meta_evaluation", with_its_result, "line_search"),
        ):
            replacement = surround(name, getattr(module, function))
            replaced.enter_context(patch.object(module, function, replacement))
        yield


# How far an experiment has been trained by measuring it.
_states: WeakKeyDictionary[RLProblem, TrainerState] = WeakKeyDictionary()


def time_meta_iteration(experiment: RLProblem) -> dict[str, float]:
    """Seconds of the next meta-iteration, whole and by stage.

    Each goes on from the policy that the last one made, since a line search that begins at the
    initial policy is longer than others. "rest" is what none of the other stages is, mainly the
    checks that all numbers are finite.
    """
    experiment.notes.hand_to(print)
    state = _states.get(experiment) or experiment.initial_state()
    outer, inner = StageClock(experiment.device), StageClock(experiment.device)
    start = time.perf_counter()
    with measured_stages(inner.measure):
        _states[experiment], _ = experiment.meta_iteration(state, outer)
    whole = time.perf_counter() - start
    stages = {
        "sampling": outer.seconds["sampling"],
        "advantages": inner.seconds["advantages"],
        "adaptation": max(0.0, outer.seconds["adapting"] - inner.seconds["advantages"]),
        **{name: inner.seconds[name] for name in UPDATE_STAGES},
    }
    return {"whole": whole, **stages, "rest": whole - sum(stages.values())}


def time_round(experiment: RLProblem) -> list[dict[str, float]]:
    """The next meta-iterations, at least one and as many as fill ``ROUND_SECONDS``.

    Where they take half a second, one alone may be off by half of that.
    """
    iterations = [time_meta_iteration(experiment)]
    while sum(iteration["whole"] for iteration in iterations) < ROUND_SECONDS:
        iterations.append(time_meta_iteration(experiment))
    return iterations


def warm_up(experiment: RLProblem) -> None:
    """One meta-iteration, so that imports, traces and first allocations are not counted."""
    with tracing_at_once():
        time_meta_iteration(experiment)


def tracing_at_once() -> AbstractContextManager[object]:
    """Traces inside what training traces once it has come often."""
    return patch.object(tracing, "CALLS_BEFORE_TRACING", 1)


def median_seconds(iterations: Sequence[dict[str, float]]) -> dict[str, float]:
    """Medians of what ``time_meta_iteration`` returns, as ``seconds_*``."""
    return {
        f"seconds_{name}": statistics.median(iteration[name] for iteration in iterations)
        for name in ("whole", *STAGES)
    }
