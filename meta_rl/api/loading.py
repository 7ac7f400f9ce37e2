"""Policies from run directories, from the package, and from where they were saved."""

from contextlib import closing
from pathlib import Path

import torch

from meta_rl.api.policy import Policy, PolicyError
from meta_rl.api.saving import is_saved_policy, load_policy
from meta_rl.api.stages import Adapter
from meta_rl.config import Config
from meta_rl.evaluation.packaged_runs import find_run
from meta_rl.evaluation.saved_model import SavedModel, load_model
from meta_rl.models.observation_normaliser import observation_normaliser
from meta_rl.problems.rl import evaluation_context, initial_state, make_algorithm, policy_for
from meta_rl.rollouts.action_spaces import PolicySpaces
from meta_rl.rollouts.environments import make_env
from meta_rl.types import Params, RolloutBatch

_CPU = torch.device("cpu")


def load(path: str | Path, trust: bool = False) -> Policy:
    """Loads a policy that a run has trained, or one that was saved.

    Args:
        path: a run directory, of which the best checkpoint counts; a checkpoint;
            ``pretrained/NAME``; or a folder that ``Policy.save`` has written.
        trust: the modules that its settings name may be imported, now and later, although the run
            was not started here.

    Returns:
        The policy. Only a saved one has been adapted.

    Raises:
        CheckpointError: there is no policy that can be read.
        PolicyError: the run is one on supervised tasks, which have no policy.
        UntrustedRunError: its settings name a module, and may not.
        EnvironmentFault: its environment, which tells the spaces of a run, cannot be made.
    """
    path = find_run(Path(path))
    if is_saved_policy(path):
        kept = load_policy(path, trust=trust)
        return make_policy(kept.saved, kept.spaces, kept.params, kept.stages)
    saved = load_model(path, trust=trust)
    if not isinstance(saved.config, Config):
        raise PolicyError(f"{path} is a run on supervised tasks, and has no policy that acts")
    with closing(make_env(saved.config, num_tasks=1, num_episodes=1)) as env:
        spaces = PolicySpaces(env.observation_size, env.single_action_space)
    return make_policy(saved, spaces)


def make_policy(
    saved: SavedModel,
    spaces: PolicySpaces,
    params: Params | None = None,
    stages: tuple[RolloutBatch, ...] = (),
) -> Policy:
    """A policy from what training has learned.

    Args:
        saved: of a run of reinforcement learning.
        spaces: of its environment.
        params: of the adapted policy; None for the one that is not adapted.
        stages: what it was adapted to.

    Raises:
        CheckpointError: the model does not fit the spaces.
    """
    config = saved.config
    assert isinstance(config, Config)
    architecture = policy_for(config, spaces, _CPU)
    algorithm = make_algorithm(config, architecture, evaluation_context(config, _CPU))
    state = saved.state(initial_state(config, algorithm, spaces), _CPU)
    adapter = Adapter(
        config.algorithm.name,
        algorithm,
        architecture,
        spaces,
        state.learned,
        observation_normaliser(state.observation_moments, _CPU),
    )
    if params is None:
        params, _ = adapter.adapted([], [])
    return Policy(saved, params, stages, adapter)
