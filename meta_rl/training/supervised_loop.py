"""The training loop on supervised tasks: sample tasks, adapt to them, update the initialisation."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from meta_rl.algorithms.outer_step import OuterStep
from meta_rl.curves.supervised_curve import SupervisedCurve, half_width
from meta_rl.ops.tracing import traced_at_first_call
from meta_rl.problems.supervised_experiment import SupervisedExperiment
from meta_rl.rollouts.sampler import NumericalError
from meta_rl.runs.run_log import RunLog
from meta_rl.runs.supervised_state import SupervisedState
from meta_rl.runs.validations import is_due
from meta_rl.runtime.compilation import update_compiler
from meta_rl.runtime.seeding import Split
from meta_rl.runtime.stage_clock import StageClock


def train_supervised(
    experiment: SupervisedExperiment, state: SupervisedState, log: RunLog
) -> SupervisedState:
    """Runs meta-iterations until there are ``run.meta_iterations`` of them.

    Whatever ends the loop early, the last completed iteration is saved first.

    Args:
        experiment: tasks, network and settings.
        state: where to start; the initial state or that of a checkpoint.
        log: where numbers and checkpoints go.

    Returns:
        The last state.

    Raises:
        NumericalError: a loss or the meta-gradient is not finite.
    """
    run, evaluation = experiment.config.run, experiment.config.evaluation
    update = fast_update(experiment, log.note)
    try:
        log.checkpoint(state)
        with experiment.torch_threads():
            clock = StageClock(experiment.device)
            while state.meta_iteration < run.meta_iterations:
                next_state, step = meta_iteration(experiment, update, state, clock)
                number = next_state.meta_iteration
                curve = None
                if is_due(number, evaluation.every, run.meta_iterations):
                    with clock.measure("evaluating"):
                        curve = experiment.evaluate(
                            next_state.meta_params, Split.VALIDATION, next_state.moments
                        )
                    validations = state.validations.after(number, curve.score, evaluation.every)
                    next_state = replace(next_state, validations=validations)
                if curve is not None or number % run.log_every == 0:
                    loss_sum, loss_count = next_state.loss_sum, next_state.loss_count
                    next_state, clock = _log(experiment, next_state, step, clock, curve, log)
                    if next_state.validations.end == number and number % run.log_every:
                        # A longer run would not have this line, and would go on with these sums.
                        next_state = replace(next_state, loss_sum=loss_sum, loss_count=loss_count)
                # Only now: an interruption before this line repeats the whole iteration.
                state = next_state
                if curve is not None or state.meta_iteration % run.checkpoint_every == 0:
                    log.checkpoint(state)
    finally:
        log.checkpoint(state)
    return state


def fast_update(
    experiment: SupervisedExperiment, note: Callable[[str], None]
) -> Callable[..., OuterStep]:
    """The meta-update as training calls it: traced, and compiled where the settings ask for it.

    Args:
        experiment: whose.
        note: takes a line for the user.
    """
    update: Callable[..., OuterStep] = traced_at_first_call(experiment.outer_step)
    compiler = update_compiler(experiment.device, compiled=experiment.config.run.compile, note=note)
    return update if compiler is None else compiler(experiment.outer_step, otherwise=update)


def meta_iteration(
    experiment: SupervisedExperiment,
    update: Callable[..., OuterStep],
    state: SupervisedState,
    clock: StageClock,
) -> tuple[SupervisedState, OuterStep]:
    """One meta-update on new tasks.

    Raises:
        NumericalError: a loss or the meta-gradient is not finite.
    """
    with clock.measure("sampling"):
        batch, index = experiment.training_batch(state.meta_iteration)
    with clock.measure("updating"):
        # A tensor, because a compiled function is made anew for every value of a plain number.
        step_size = torch.tensor(experiment.meta_step_size(state.meta_iteration))
        step = update(state.meta_params, state.moments, batch, index, step_size)
        # Both at once: the host waits for the device once per meta-iteration.
        loss, update_norm = torch.stack([step.query_loss.mean(), step.update_norm]).tolist()
    if not math.isfinite(loss + update_norm):
        raise NumericalError(_fault(state.meta_iteration + 1, step))
    next_state = replace(
        state,
        meta_params=step.params,
        moments=step.moments,
        meta_iteration=state.meta_iteration + 1,
        loss_sum=state.loss_sum + loss,
        loss_count=state.loss_count + 1,
    )
    return next_state, step


def _log(
    experiment: SupervisedExperiment,
    state: SupervisedState,
    step: OuterStep,
    clock: StageClock,
    curve: SupervisedCurve | None,
    log: RunLog,
) -> tuple[SupervisedState, StageClock]:
    """Writes what happened since the last line, and begins anew."""
    mean_loss, num_iterations = state.loss_sum / state.loss_count, state.loss_count
    state = replace(state, seconds=state.seconds + clock.total, loss_sum=0.0, loss_count=0)
    record = {
        "meta_iteration": state.meta_iteration,
        "train_loss": mean_loss,
        "update_norm": float(step.update_norm),
        "meta_step_size": experiment.meta_step_size(state.meta_iteration - 1),
        "iterations_per_second": num_iterations / clock.seconds["updating"],
        **{f"seconds_{name}": seconds for name, seconds in clock.seconds.items()},
        "seconds_total": state.seconds,
    }
    if curve is not None:
        for name, value in curve.quantities.items():
            record[f"validation_{name}"] = value.mean(0).tolist()
            record[f"validation_{name}_interval"] = half_width(value).tolist()
        record["validation_score"] = curve.score
        record["is_best"] = state.best is not None and (
            state.best.meta_iteration == state.meta_iteration
        )
    log.write(record, curve)
    return state, StageClock(experiment.device)


def _fault(meta_iteration: int, step: OuterStep) -> str:
    bad = torch.nonzero(~torch.isfinite(step.query_loss)).flatten().tolist()
    where = f"the query loss of task {bad[0]}" if bad else "the meta-gradient"
    return f"meta-iteration {meta_iteration}: {where} is not finite"
