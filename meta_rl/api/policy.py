"""A trained policy that acts, and adapts to the task of an environment or of a robot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from meta_rl.api.episode import Episode, batch_of
from meta_rl.api.export import ActingNetwork, export_network
from meta_rl.api.saving import KeptPolicy, save_policy
from meta_rl.api.stages import Adapter
from meta_rl.config import Config
from meta_rl.evaluation.saved_model import SavedModel
from meta_rl.models.policy import action_distribution
from meta_rl.reading import SentenceError
from meta_rl.rollouts.action_spaces import PolicySpaces, environment_actions
from meta_rl.rollouts.one_env import check_spaces, collect_from
from meta_rl.runtime.seeding import RandomStreams, Split
from meta_rl.types import Params, RolloutBatch


class PolicyError(SentenceError):
    """A policy that cannot do what it was asked for; the message is one sentence."""


@dataclass(frozen=True, eq=False, repr=False)
class Policy:
    """A policy as training left it, or after adaptation; adapting makes another one.

    It lives on the CPU.

    Attributes:
        saved: the run that it is from, with its settings.
        params: of its network, by name.
        stages: the episodes that it was adapted to, a batch for each step.
        adapter: what adapts it.
    """

    saved: SavedModel
    params: Params
    stages: tuple[RolloutBatch, ...]
    adapter: Adapter

    def __repr__(self) -> str:
        return f"<Policy of {self.saved.path}, {self.num_steps} adaptation steps>"

    @property
    def config(self) -> Config:
        """The settings of its run."""
        assert isinstance(self.saved.config, Config)
        return self.saved.config

    @property
    def num_steps(self) -> int:
        """How many adaptation steps it has taken."""
        return len(self.stages)

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """Of the environment that it was trained or last adapted in."""
        return self.adapter.spaces.action_space

    @property
    def observation_size(self) -> int:
        """O, entries of an observation."""
        return self.adapter.spaces.observation_size

    def adapt(
        self,
        env: gymnasium.Env[Any, Any],
        num_steps: int = 2,
        episodes_per_step: int = 20,
        seed: int = 0,
    ) -> "Policy":
        """Plays in an environment and adapts to its task, as an evaluation does.

        Before each step it plays new episodes; an adapted policy goes on where it was.

        Args:
            env: holds one task; its spaces are those of training, and the bounds of its actions
                may be others. It is reset with seeds, and is not closed.
            num_steps: adaptation steps.
            episodes_per_step: E, of ``rollout.horizon`` steps at most.
            seed: of the initial states and the noise of the actions.

        Returns:
            The adapted policy, which acts in the units of ``env``.

        Raises:
            EnvironmentFault: the policy does not fit, or a number that it returns is not finite.
            NumericalError, AlgorithmError: as in an evaluation.
            PolicyError: a number is out of its range.
        """
        _check_count("num_steps", num_steps)
        _check_count("episodes_per_step", episodes_per_step)
        check_spaces(env, self.adapter.spaces)
        streams = RandomStreams(seed, Split.TEST, meta_iteration=0)
        spaces = PolicySpaces(self.observation_size, env.action_space)
        adapter = replace(self.adapter, spaces=spaces)
        shape = (1, episodes_per_step, self.config.rollout.horizon, spaces.action_size)

        def play(stage: int, params: Params) -> RolloutBatch:
            episodes = collect_from(
                env,
                adapter.policy,
                params,
                reset_seeds=streams.reset_seeds(stage, 1, episodes_per_step),
                noise=streams.action_noise(stage, shape, torch.device("cpu")),
                normaliser=adapter.normaliser,
            )
            return replace(episodes, observation=self._seen(episodes.observation))

        params, stages = adapter.adapted(self.stages, [play] * num_steps)
        return replace(self, params=params, stages=stages, adapter=adapter)

    def adapt_to(self, episodes: Sequence[Episode | Mapping[str, Any]]) -> "Policy":
        """One adaptation step on episodes that this policy has played elsewhere.

        Args:
            episodes: on one task, in the units of ``action_space``; with ``deterministic=False``,
                since a policy learns from the differences between its actions. A mapping has the
                names of an ``Episode``.

        Returns:
            The adapted policy. For another step, let it play.

        Raises:
            EpisodeError: an episode does not fit the policy.
            NumericalError, AlgorithmError: as in an evaluation.
        """
        given = [item if isinstance(item, Episode) else _episode(item) for item in episodes]
        adapter = self.adapter

        def recorded(stage: int, params: Params) -> RolloutBatch:
            del stage
            return batch_of(given, adapter.spaces, adapter.policy, params, adapter.normaliser)

        params, stages = adapter.adapted(self.stages, [recorded])
        return replace(self, params=params, stages=stages)

    def act(
        self,
        observation: Any,
        deterministic: bool = True,
        generator: np.random.Generator | None = None,
    ) -> Any:
        """What to do.

        Args:
            observation: [O], or a batch [..., O], as the environment gives it.
            deterministic: the most probable action; otherwise one is drawn.
            generator: what is drawn from; without it, every draw is a new one.

        Returns:
            The action [A] in the units of ``action_space``, clipped to its bounds, or a number for
            a ``Discrete`` one; for a batch [..., A] or [...].

        Raises:
            PolicyError: the observation has another shape, or holds a number that is not finite.
        """
        vector = np.asarray(observation, dtype=np.float32)
        if vector.shape[-1:] != (self.observation_size,):
            raise PolicyError(
                f"an observation should have {self.observation_size} entries along its last axis, "
                f"not the shape {vector.shape}"
            )
        if not np.isfinite(vector).all():
            raise PolicyError("the observation holds a number that is not finite")
        batch = torch.from_numpy(vector.reshape(-1, self.observation_size))
        with torch.no_grad():
            distribution = action_distribution(self.adapter.policy, self.params, self._seen(batch))
            if deterministic:
                action = distribution.mode()
            else:
                drawn = (generator or np.random.default_rng()).standard_normal(
                    (len(batch), self.adapter.spaces.action_size), dtype=np.float32
                )
                action = distribution.draw(torch.from_numpy(drawn))
        converted = environment_actions(self.action_space)(action.numpy())
        shaped = converted.reshape((*vector.shape[:-1], *converted.shape[1:]))
        return shaped if shaped.ndim else shaped[()]

    def save(self, folder: str | Path) -> Path:
        """Writes the policy to a new folder, from which ``load`` reads it.

        It is loaded without its environment, and adapts further from where it was.

        Raises:
            NewFolderError: the folder exists, or cannot be written.
        """
        adapter = self.adapter
        kept = KeptPolicy(self.saved, adapter.learned, adapter.spaces, self.params, self.stages)
        save_policy(kept, Path(folder))
        return Path(folder)

    def export(self, file: str | Path) -> Path:
        """Writes what ``act`` does with ``deterministic=True`` to a file that needs no meta-rl.

        It maps ``observation``, float32 [batch, O], to ``action`` [batch, ...] in the units of
        ``action_space``, float64 for a box.

        Args:
            file: ``NAME.pt2``, a program for ``torch.export.load`` (PyTorch alone), or
                ``NAME.onnx``, which needs the extra ``export``.

        Raises:
            ExportError: the file has another ending, cannot be written, or a package is missing.
        """
        adapter = self.adapter
        acting = ActingNetwork(adapter.policy, self.params, adapter.spaces, adapter.normaliser)
        export_network(acting, self.observation_size, Path(file))
        return Path(file)

    def _seen(self, observation: Tensor) -> Tensor:
        normaliser = self.adapter.normaliser
        return observation if normaliser is None else normaliser(observation)


def _episode(mapping: Mapping[str, Any]) -> Episode:
    try:
        return Episode(**mapping)
    except TypeError:
        raise PolicyError(
            "an episode should have observation, action and reward, perhaps terminated and "
            f"truncated, not {', '.join(map(str, mapping))}"
        ) from None


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise PolicyError(f"{name} should be at least 1, not {value}")
