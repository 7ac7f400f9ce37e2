"""A meta-policy that a run has left behind, and its evaluation."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from meta_rl.config import Config
from meta_rl.evaluation.held_out_tasks import sampled_tasks
from meta_rl.evaluation.run_settings import settings_of_run
from meta_rl.models.observation_normaliser import split_moments
from meta_rl.problems.evaluation import Evaluation, evaluate
from meta_rl.problems.rl_experiment import evaluation_settings, initial_state, make_inner_loop
from meta_rl.rollouts.environments import ShardedEnv, make_env
from meta_rl.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    checkpoint_path,
    fitting_params,
    load_checkpoint,
    read_best,
)
from meta_rl.runs.trusted_runs import check_trusted, trust_files
from meta_rl.runtime.device import resolve_device
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.types import Params


@dataclass(frozen=True)
class SavedPolicy:
    """A meta-policy and the settings that they were trained with.

    Attributes:
        path: the run directory or checkpoint that the user named.
        meta_iteration: number of completed meta-iterations.
        params: the meta-parameters and, if observations are normalised, their statistics, on the
            CPU.
        config: the settings of the run.
        warnings: a sentence for each damaged checkpoint that had to be passed over.
    """

    path: Path
    meta_iteration: int
    params: Params
    config: Config
    warnings: tuple[str, ...] = ()


def load_policy(path: Path, *, trust: bool = False) -> SavedPolicy:
    """Loads the best meta-policy of a run, or that of one checkpoint.

    Args:
        path: a run directory (where nothing was evaluated yet, the newest checkpoint counts), or
            a checkpoint's folder.
        trust: the modules that it names may be imported, now and later.

    Raises:
        CheckpointError: there is no checkpoint, none that can be read, or none of a policy.
        UntrustedRunError: it names a module, and was not started here.
    """
    if trust:
        trust_files(path)
    checkpoint = _best_checkpoint(path) or load_checkpoint(path)
    if not isinstance(checkpoint.config, Config):
        raise CheckpointError(f"{path} is a run on supervised tasks, which has no policy")
    config = settings_of_run(path, checkpoint.config)
    assert isinstance(config, Config)
    check_trusted(path, config)
    return SavedPolicy(
        path, checkpoint.meta_iteration, checkpoint.params, config, checkpoint.warnings
    )


def untrained_policy(saved: SavedPolicy) -> SavedPolicy:
    """The policy that a run started from.

    Raises:
        EnvironmentFault: the environment, which the policy must fit, cannot be made.
    """
    with closing(make_env(saved.config, num_tasks=1, num_episodes=1)) as env:
        inner_loop = make_inner_loop(saved.config, env, torch.device("cpu"))
        model = initial_state(saved.config, inner_loop, env).model
    return SavedPolicy(saved.path, 0, model, saved.config)


def evaluate_policy(
    saved: SavedPolicy, tasks: np.ndarray | None = None, env: ShardedEnv | None = None
) -> Evaluation:
    """Adapts a saved policy to test tasks, as its settings say.

    With the settings that the run had, the tasks are the test tasks that training ended with, and
    so are the returns, bit for bit on the same device.

    Args:
        saved: the policy; ``saved.config.evaluation`` says how many tasks, steps and episodes.
        tasks: [M, P], to be used in place of the test tasks.
        env: simulations for ``tasks`` times the number of episodes, left open; by default they
            are made, and closed.

    Raises:
        CheckpointError: the parameters do not fit the environment's policy.
        DeviceError, EnvironmentFault, NumericalError: as ``RLExperiment`` and ``collect``.
    """
    config = saved.config
    if env is None:
        num_tasks = config.evaluation.num_tasks if tasks is None else len(tasks)
        with closing(make_env(config, num_tasks, config.evaluation.episodes_per_task)) as env:
            return evaluate_policy(saved, tasks, env)
    device = resolve_device(config.run.device)
    inner_loop = make_inner_loop(config, env, device)
    streams = RandomStreams(config.evaluation.seed, Split.TEST, meta_iteration=0)
    if tasks is None:
        tasks = sampled_tasks(env, config.evaluation.num_tasks, config.evaluation.seed)
    model = fitting_params(saved.path, saved.params, initial_state(config, inner_loop, env).model)
    params, moments = split_moments(model)
    params = {name: value.to(device) for name, value in params.items()}
    settings = evaluation_settings(config, inner_loop, device)
    return evaluate(settings, params, env, tasks, streams, moments)


def _best_checkpoint(path: Path) -> Checkpoint | None:
    best = read_best(path)
    return None if best is None else load_checkpoint(checkpoint_path(path, best.meta_iteration))
