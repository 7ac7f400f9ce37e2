"""The training loop, the same for all problems: draw tasks, let the algorithm learn, validate."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meta_rl.curves.adaptation_curve import AdaptationCurve
from meta_rl.problems.finite_checks import faults_during
from meta_rl.problems.problem import Problem
from meta_rl.runs.run_log import TrainingLog
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runs.validations import is_due
from meta_rl.runtime.seeding import Split
from meta_rl.runtime.stage_clock import StageClock

_AVERAGED = "train_"


def train(problem: Problem, state: TrainerState, log: TrainingLog) -> TrainerState:
    """Runs meta-iterations until there are ``run.meta_iterations`` of them.

    Whatever ends the loop early, the last completed iteration is saved first.

    Args:
        problem: what is learned.
        state: where to start; the initial state or that of a checkpoint.
        log: where numbers and checkpoints go.

    Returns:
        The last state.

    Raises:
        EnvironmentFault, NumericalError, AlgorithmError, RankError: as ``Problem``.
    """
    run, evaluation = problem.config.run, problem.config.evaluation
    problem.notes.hand_to(log.note)
    for warning in problem.warnings():
        log.note(f"Warning: {warning}")
    try:
        log.checkpoint(state)
        with problem.around_training():
            clock, env_steps = StageClock(problem.device), state.env_steps
            while state.meta_iteration < run.meta_iterations:
                number = state.meta_iteration + 1
                with faults_during(f"meta-iteration {number}"):
                    next_state, metrics = problem.meta_iteration(state, clock)
                next_state = _with_sums(next_state, metrics)
                curve = None
                if is_due(number, evaluation.every, run.meta_iterations):
                    moment = f"evaluation after meta-iteration {number}"
                    with clock.measure("evaluating"), faults_during(moment):
                        curve = problem.evaluate(next_state, Split.VALIDATION)
                    validations = state.validations.after(number, curve.score, evaluation.every)
                    next_state = replace(next_state, validations=validations)
                if curve is not None or number % run.log_every == 0:
                    next_state = replace(next_state, seconds=state.seconds + clock.total)
                    record = _record(next_state, metrics, clock, next_state.env_steps - env_steps)
                    log.write(record | _validation_entries(next_state, curve), curve)
                    # A longer run would not have a line that is there because the run ends, and
                    # would go on with these sums.
                    if number % run.log_every == 0 or next_state.validations.end != number:
                        next_state = replace(next_state, sums={}, num_summed=0)
                    clock, env_steps = StageClock(problem.device), next_state.env_steps
                # Only now: an interruption before this line repeats the whole iteration.
                state = next_state
                if curve is not None or number % run.checkpoint_every == 0:
                    log.checkpoint(state)
    finally:
        log.checkpoint(state)
    return state


def _with_sums(state: TrainerState, metrics: Mapping[str, Any]) -> TrainerState:
    """With the metrics that a line averages added to those of the iterations before."""
    averaged = {name: value for name, value in metrics.items() if name.startswith(_AVERAGED)}
    sums = {
        name: _added(state.sums[name], value) if name in state.sums else value
        for name, value in averaged.items()
    }
    return replace(state, sums=sums, num_summed=state.num_summed + 1)


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one + other


def _record(
    state: TrainerState, metrics: Mapping[str, Any], clock: StageClock, env_steps: int
) -> dict[str, Any]:
    """One flat line of numbers: what the algorithm says, and the cost."""
    number = state.num_summed
    means = {
        name: [x / number for x in value] if isinstance(value, list) else value / number
        for name, value in state.sums.items()
    }
    if env_steps:
        rate = {
            "env_steps": state.env_steps,
            "env_steps_per_second": env_steps / clock.seconds["sampling"],
        }
    else:
        rate = {"iterations_per_second": number / clock.seconds["updating"]}
    return {
        "meta_iteration": state.meta_iteration,
        **metrics,
        **means,
        **rate,
        **{f"seconds_{name}": seconds for name, seconds in clock.seconds.items()},
        "seconds_total": state.seconds,
    }


def _validation_entries(state: TrainerState, curve: AdaptationCurve | None) -> dict[str, Any]:
    if curve is None:
        return {}
    entries: dict[str, Any] = {}
    for name, (mean, interval) in curve.means.items():
        name = f"validation_{name.removeprefix('episode_')}"
        entries |= {name: mean.tolist(), f"{name}_interval": interval.tolist()}
    best = state.best
    return entries | {
        "validation_score": curve.score,
        "is_best": best is not None and best.meta_iteration == state.meta_iteration,
    }
