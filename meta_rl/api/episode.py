"""Episodes played elsewhere, for example by a robot, as a batch that algorithms learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.models.policy import action_distribution
from meta_rl.reading import SentenceError
from meta_rl.rollouts.action_spaces import PolicySpaces, policy_actions
from meta_rl.types import Params, RolloutBatch


class EpisodeError(SentenceError):
    """An episode that a policy cannot learn from; the message is one sentence."""


@dataclass(frozen=True)
class Episode:
    """One episode of T steps on the task that is adapted to.

    Attributes:
        observation: [T, O], before each action; [T + 1, O] with the one after the last action,
            which matters where the episode was cut.
        action: [T, A] in the environment's units, or [T] for a ``Discrete`` action space.
        reward: [T], for each action.
        terminated: whether the last step reached a terminal state.
        truncated: whether a time limit cut the episode; by default, where it did not terminate.
    """

    observation: Any
    action: Any
    reward: Any
    terminated: bool = False
    truncated: bool | None = None


def batch_of(
    episodes: Sequence[Episode],
    spaces: PolicySpaces,
    policy: nn.Module,
    params: Params,
    normaliser: ObservationNormaliser | None,
) -> RolloutBatch:
    """The episodes as the sampler would have recorded them, seen through the normaliser.

    The log-probabilities are those of the actions under ``params``, so that the policy that acted
    should be this one. Of an action that was clipped only its place at the bound is known.

    Args:
        episodes: E of them, of any lengths.
        spaces: what they should fit.
        policy: without memory.
        params: of the policy, [1, ...].
        normaliser: what the policy sees observations through.

    Raises:
        EpisodeError: there are none, or one does not fit the spaces.
    """
    if not episodes:
        raise EpisodeError("there are no episodes to adapt to")
    entries = [_checked(index, episode, spaces) for index, episode in enumerate(episodes)]
    lengths = [len(reward) for *_, reward in entries]
    shape = (1, len(episodes), max(lengths))
    observation = torch.zeros(*shape, spaces.observation_size)
    action_type = torch.int64 if spaces.num_choices else torch.float32
    action = torch.zeros(*shape, spaces.action_size, dtype=action_type)
    reward = torch.zeros(shape)
    terminated, truncated, valid = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    for index, (episode, length) in enumerate(zip(episodes, lengths, strict=True)):
        seen, done, paid = (torch.as_tensor(entry) for entry in entries[index])
        observation[0, index, : len(seen)] = seen[: shape[2]]
        observation[0, index, len(seen) :] = seen[-1]
        action[0, index, :length] = done.to(action_type)
        reward[0, index, :length] = paid
        valid[0, index, :length] = True
        terminated[0, index, length - 1] = episode.terminated
        cut = not episode.terminated if episode.truncated is None else episode.truncated
        truncated[0, index, length - 1] = cut
    if normaliser is not None:
        observation = normaliser(observation)
    with torch.no_grad():
        own = {name: value[0] for name, value in params.items()}
        log_prob = action_distribution(policy, own, observation).log_prob(action)
    return RolloutBatch(
        observation=observation,
        action=action,
        log_prob=log_prob,
        reward=reward,
        terminated=terminated,
        truncated=truncated,
        valid=valid,
        task=np.zeros((1, 0)),
        num_diverged=0,
    )


def _checked(
    index: int, episode: Episode, spaces: PolicySpaces
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observation [T or T + 1, O], the policy's action [T, A] and reward [T]."""
    reward = _numbers(index, "reward", episode.reward)
    if reward.ndim != 1 or len(reward) == 0:
        raise EpisodeError(
            f"the reward of episode {index} should be [T], a number for each step, not of shape "
            f"{reward.shape}"
        )
    steps = len(reward)
    observation = _numbers(index, "observation", episode.observation)
    size = spaces.observation_size
    if observation.shape not in ((steps, size), (steps + 1, size)):
        raise EpisodeError(
            f"the observation of episode {index} should be of shape {(steps, size)}, or of "
            f"{(steps + 1, size)} with the one after the last step, not {observation.shape}"
        )
    given = _numbers(index, "action", episode.action)
    wanted = (steps, *(spaces.action_space.shape or ()))
    if given.shape != wanted:
        raise EpisodeError(
            f"the action of episode {index} should be of shape {wanted}, not {given.shape}"
        )
    action = policy_actions(spaces.action_space)(given)
    if spaces.num_choices:
        counts = np.array(spaces.num_choices)
        if (action < 0).any() or (action >= counts).any() or (given % 1 != 0).any():
            raise EpisodeError(
                f"the action of episode {index} should be choices of {spaces.action_space}"
            )
    return observation, action, reward


def _numbers(index: int, name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise EpisodeError(f"the {name} of episode {index} should be an array of numbers") from None
    if not np.isfinite(array).all():
        raise EpisodeError(f"the {name} of episode {index} holds a number that is not finite")
    return array
