"""The training loop: collect, adapt, collect again, meta-update."""

from dataclasses import replace

import torch

from meta_rl.algorithms.maml_trpo import maml_trpo_update, meta_data
from meta_rl.curves.episode_summary import EpisodeSummary, episode_summary, joined_summary
from meta_rl.models.observation_normaliser import observation_normaliser
from meta_rl.ops.moments import Moments, joined_moments
from meta_rl.ops.tracing import Compiler
from meta_rl.problems.adaptation_rollouts import collect_and_adapt
from meta_rl.problems.baseline_note import evaluation_note, training_note
from meta_rl.problems.finite_checks import FiniteChecks, faults_during
from meta_rl.problems.rl_experiment import RLExperiment
from meta_rl.runs.run_log import TrainingLog
from meta_rl.runs.trainer_state import TrainerState
from meta_rl.runs.validations import is_due
from meta_rl.runtime.compilation import update_compiler
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.runtime.stage_clock import StageClock
from meta_rl.types import MetaUpdateStats, Params, RolloutBatch


def train(experiment: RLExperiment, state: TrainerState, log: TrainingLog) -> TrainerState:
    """Runs meta-iterations until there are ``run.meta_iterations`` of them.

    Whatever ends the loop early, the last completed iteration is saved first.

    Args:
        experiment: environments, policy and settings.
        state: where to start; the initial state or that of a checkpoint.
        log: where numbers and checkpoints go.

    Returns:
        The last state.

    Raises:
        EnvironmentFault: an environment raised, hung, died or returned non-finite numbers.
        NumericalError: anything that is computed from that is not finite, see ``finite_checks``.
        RankError: another rank has stopped.
    """
    run, evaluation = experiment.config.run, experiment.config.evaluation
    compiler = update_compiler(experiment.device, compiled=run.compile, note=log.note)
    size = experiment.env.single_observation_space.shape[0]
    for note in (training_note, evaluation_note):
        if sentence := note(experiment.config, size):
            log.note(f"Warning: {sentence}")
    try:
        log.checkpoint(state)
        while state.meta_iteration < run.meta_iterations:
            clock = StageClock(experiment.device)
            number = state.meta_iteration + 1
            with faults_during(f"meta-iteration {number}"):
                meta_params, episodes, stats = meta_iteration(experiment, state, clock, compiler)
            normalises = state.observation_moments is not None
            mine = episode_summary(episodes, with_moments=normalises)
            summary = joined_summary(experiment.ranks.gather(mine))
            next_state = replace(
                state,
                meta_params=meta_params,
                observation_moments=_grown(state.observation_moments, summary),
                meta_iteration=state.meta_iteration + 1,
                env_steps=state.env_steps + summary.env_steps,
            )
            curve = None
            if is_due(number, evaluation.every, run.meta_iterations):
                moment = f"evaluation after meta-iteration {number}"
                with clock.measure("evaluating"), faults_during(moment):
                    curve = experiment.evaluate(
                        meta_params, Split.VALIDATION, next_state.observation_moments
                    )
                validations = state.validations.after(number, curve.score, evaluation.every)
                next_state = replace(next_state, validations=validations)
            next_state = replace(next_state, seconds=state.seconds + clock.total)
            log.meta_iteration(next_state, summary, stats, clock, curve)
            # Only now: an interruption before this line repeats the whole iteration on resuming.
            state = next_state
            if curve is not None or state.meta_iteration % run.checkpoint_every == 0:
                log.checkpoint(state)
    finally:
        log.checkpoint(state)
    return state


def meta_iteration(
    experiment: RLExperiment,
    state: TrainerState,
    clock: StageClock,
    compiler: Compiler | None = None,
) -> tuple[Params, list[RolloutBatch], MetaUpdateStats]:
    """One pass of MAML: sample tasks, collect and adapt on each, update the initialisation.

    Returns:
        The new meta-parameters, this rank's episodes at each adaptation step, and the update's
        outcome.

    Raises:
        NumericalError: anything that is computed from that is not finite, see ``finite_checks``.
    """
    config = experiment.config
    assert config.policy.normalise_observations == (state.observation_moments is not None)
    normaliser = observation_normaliser(state.observation_moments, experiment.device)
    num_tasks, share = config.rollout.meta_batch_size, experiment.training_share
    streams = RandomStreams(config.run.seed, Split.TRAIN, state.meta_iteration, share.start)
    tasks = experiment.env.sample_tasks(num_tasks, streams.task_generator())[share]
    episodes, batches = collect_and_adapt(
        experiment.training_settings,
        state.meta_params,
        experiment.env,
        tasks,
        streams,
        clock,
        normaliser,
    )
    with clock.measure("updating"):
        data = meta_data(batches, multi_step=experiment.inner_loop.multi_step)
        meta_params, stats = maml_trpo_update(
            experiment.inner_loop,
            state.meta_params,
            data,
            trust_region=experiment.trust_region(state.meta_iteration),
            curvature_stride=config.meta_update.curvature_stride,
            steps_per_chunk=experiment.steps_per_chunk,
            task_mean=lambda total, _: experiment.ranks.total(total) / num_tasks,
            compiler=compiler,
        )
    checks = FiniteChecks(experiment.inner_loop, tasks, experiment.env.task_parameter_names)
    with faults_during("meta-update"):
        checks.meta_update(state.meta_params, data, stats, meta_params)
    return meta_params, episodes, stats


def _grown(moments: Moments | None, summary: EpisodeSummary) -> Moments | None:
    """The statistics of observations with the steps of one meta-iteration, of all ranks."""
    if moments is None or summary.observation_moments is None:
        return moments
    steps = Moments(*(entries.flatten(0, 1) for entries in summary.observation_moments))
    new = joined_moments(steps)
    return joined_moments(Moments(*(torch.stack(pair) for pair in zip(moments, new, strict=True))))
