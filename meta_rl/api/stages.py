"""An algorithm's own ``adapt`` on one task, stage by stage: what was played stays as it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from meta_rl.algorithms.protocol import EpisodeAlgorithm
from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.problems.algorithm_results import AlgorithmError, check_played_params
from meta_rl.problems.finite_checks import all_finite
from meta_rl.rollouts.action_spaces import PolicySpaces
from meta_rl.rollouts.sampler import NumericalError
from meta_rl.types import AlgorithmState, Carry, Params, RolloutBatch

Source = Callable[[int, Params], RolloutBatch]
"""(stage, parameters [1, ...]) -> the episodes of a stage, as the algorithm sees them."""


@dataclass(frozen=True)
class Adapter:
    """What adapts, and what it starts from.

    Attributes:
        name: ``algorithm.name``.
        algorithm: an algorithm that learns from episodes.
        policy: the architecture.
        spaces: that it fits.
        learned: what training has learned.
        normaliser: what the policy sees observations through.
    """

    name: str
    algorithm: EpisodeAlgorithm
    policy: nn.Module
    spaces: PolicySpaces
    learned: AlgorithmState
    normaliser: ObservationNormaliser | None

    def adapted(
        self, known: Sequence[RolloutBatch], sources: Sequence[Source]
    ) -> tuple[Params, tuple[RolloutBatch, ...]]:
        """The policy after a step on each stage.

        The algorithm begins anew and is shown what is known already, so that a step is the same
        whether it was asked for at once or later.

        Args:
            known: the stages so far.
            sources: of the episodes of new ones.

        Returns:
            The parameters [...] that the algorithm would play next, and all the stages.

        Raises:
            AlgorithmError: the algorithm plays no policy of this architecture, or too seldom.
            NumericalError: an adapted parameter is not finite.
        """
        play = _Stages(self, known, sources)
        try:
            self.algorithm.adapt(self.learned, play, len(known) + len(sources))
        except _Enough:
            return {name: value[0] for name, value in play.params.items()}, tuple(play.stages)
        raise AlgorithmError(
            f"algorithm.name={self.name}: adapt should play once for each adaptation step from 0 on"
        )


class _Enough(BaseException):
    """The next policy is known, and need not be played; no ``except Exception`` should catch it."""


class _Stages:
    """``Play`` of stages that are known, then of new ones; it ends where those end."""

    num_tasks = 1

    def __init__(
        self, adapter: Adapter, known: Sequence[RolloutBatch], sources: Sequence[Source]
    ) -> None:
        self.params: Params = {}
        self.stages = list(known)
        self._adapter, self._sources, self._num_known = adapter, sources, len(known)
        self._num_calls = 0

    def __call__(self, params: Params, carry: Carry = ()) -> RolloutBatch:
        """See ``Play``; policies remember nothing, so the carry is empty."""
        del carry
        stage, like = self._num_calls, dict(self._adapter.policy.named_parameters())
        checked: Any = like
        check_played_params(self._adapter.name, params, checked, self.num_tasks)
        if not all_finite(params.values()):
            raise NumericalError(f"after adaptation step {stage}, a parameter is not finite")
        self._num_calls += 1
        if stage < self._num_known:
            return self.stages[stage]
        if stage == self._num_known + len(self._sources):
            self.params = {name: value.detach() for name, value in params.items()}
            raise _Enough
        self.stages.append(self._sources[stage - self._num_known](stage, params))
        return self.stages[stage]
