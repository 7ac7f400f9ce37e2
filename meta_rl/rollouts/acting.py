"""The policies of a shard of tasks choose actions, on the CPU or on a GPU."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_unflatten

from meta_rl.distributions.protocol import Distribution
from meta_rl.ops.cuda_graphs import record_graph, streams_of
from meta_rl.rollouts.batched_policy import (
    CarryKind,
    batched_policy,
    carry_where,
    drawing_policy,
)
from meta_rl.types import Carry, Params

NO_CARRY = CarryKind.of(())


class RolloutShape(NamedTuple):
    """Lengths of the axes of a shard's episodes."""

    horizon: int
    num_tasks: int
    num_episodes: int
    observation_size: int
    action_size: int


class Drawn(NamedTuple):
    """The actions of a rollout.

    Attributes:
        action: [T, M, E, A].
        log_prob: of the actions, [T, M, E].
        carry: what is remembered after the last step of each episode, [M, E, ...].
    """

    action: Tensor
    log_prob: Tensor
    carry: Carry


class Actor(Protocol):
    """Chooses the actions of one time step after another.

    Attributes:
        pinned: whether observations should lie in page-locked memory, from which they are fetched
            while the host goes on.
    """

    pinned: bool

    def act(self, t: int, observation_MEO: Tensor, running_ME: Tensor) -> np.ndarray:
        """The actions of time step t, [M * E, A], on the host and until the next call.

        Only the policies of running episodes go on remembering.
        """

    def act_from(self, t: int, observation_MEO: Tensor) -> None:
        """Draws the actions of all time steps from t on, which see the same observations.

        No episode is running any more, so that what is remembered stays the same too.
        """

    def drawn(self) -> Drawn:
        """What was drawn at all time steps, where the parameters are."""


def make_actor(
    policy: nn.Module,
    params: Params,
    noise_TMEA: Tensor,
    observation_size: int,
    shard: int,
    carry: Carry,
) -> Actor:
    """An actor for one rollout.

    Args:
        policy: see ``models/policy.py``.
        params: the tasks' parameters, [M, ...].
        noise_TMEA: standard normal, on their device and of their type.
        observation_size: O.
        shard: on a GPU, shards that act at the same time have different memory.
        carry: what the policies remember before the first step, [M, E, ...].
    """
    horizon, num_tasks, num_episodes, action_size = noise_TMEA.shape
    shape = RolloutShape(horizon, num_tasks, num_episodes, observation_size, action_size)
    if noise_TMEA.device.type == "cpu":
        return HostActor(policy, shape, params, noise_TMEA, carry)
    kind = CarryKind.of(carry)
    actor = _device_actor(policy, shape, noise_TMEA.dtype, noise_TMEA.device, kind, shard)
    actor.begin(params, noise_TMEA, carry)
    return actor


def prepare_actor(
    policy: nn.Module,
    shape: RolloutShape,
    dtype: torch.dtype,
    device: torch.device,
    carry_kind: CarryKind,
    shard: int,
) -> None:
    """Does what ``make_actor`` must not do in threads: it traces the policy and records kernels."""
    if device.type == "cpu":
        _drawing_policy(policy, shape, dtype, carry_kind)
    else:
        _device_actor(policy, shape, dtype, device, carry_kind, shard)


class HostActor:
    """Acts where the environments are."""

    pinned = False

    def __init__(
        self,
        policy: nn.Module,
        shape: RolloutShape,
        params: Params,
        noise_TMEA: Tensor,
        carry: Carry = (),
    ) -> None:
        self._noise_TMEA = noise_TMEA
        kind = CarryKind.of(carry)
        self._structure = kind.structure
        self._carry_leaves = tree_leaves(carry)
        self._policy = _drawing_policy(policy, shape, noise_TMEA.dtype, kind)(params)
        # Kept as they come and joined once: that costs less than writing each into its place.
        self._distributions: list[Distribution] = []
        self._actions: list[Tensor] = []

    def act(self, t: int, observation_MEO: Tensor, running_ME: Tensor) -> np.ndarray:
        """See ``Actor``."""
        distribution, action, self._carry_leaves = self._policy(
            observation_MEO, self._noise_TMEA[t], running_ME, *self._carry_leaves
        )
        self._distributions.append(distribution)
        self._actions.append(action)
        return action.flatten(0, 1).numpy()

    def act_from(self, t: int, observation_MEO: Tensor) -> None:
        """See ``Actor``."""
        nobody = torch.zeros(observation_MEO.shape[:2], dtype=torch.bool)
        rest_TMEA = self._noise_TMEA[t:]
        distribution, *_ = self._policy(observation_MEO, rest_TMEA[0], nobody, *self._carry_leaves)
        self._distributions += [distribution] * len(rest_TMEA)
        self._actions += list(distribution.draw(rest_TMEA))

    def drawn(self) -> Drawn:
        """See ``Actor``."""
        action_TMEA = torch.stack(self._actions)
        kind: Any = type(self._distributions[0])  # a NamedTuple of tensors
        distribution = kind(*map(_stacked, zip(*self._distributions, strict=True)))
        return Drawn(
            action_TMEA,
            distribution.log_prob_of_draw(action_TMEA, self._noise_TMEA),
            tree_unflatten(self._carry_leaves, self._structure),
        )


def _stacked(steps: Sequence[Tensor]) -> Tensor:
    """[T, ...]; without a copy if no observation has an influence: then it is one tensor."""
    first = steps[0]
    if all(x is first for x in steps):
        return first.expand(len(steps), *first.shape)
    return torch.stack(list(steps))


class DeviceActor:
    """Acts on a GPU with three launches per time step: fetch, all kernels of the policy, bring.

    Everything lies at memory of its own, at which the kernels were recorded; the time step is
    counted there too. It has a stream of its own, and waiting for it leaves Python free: while one
    shard waits for its actions, another one is stepped.
    """

    def __init__(
        self,
        policy: nn.Module,
        shape: RolloutShape,
        dtype: torch.dtype,
        device: torch.device,
        record: Callable[..., Callable[[], None]] | None = None,
        carry_kind: CarryKind = NO_CARRY,
    ) -> None:
        """Allocates and records.

        Args:
            policy: see ``models/policy.py``.
            shape: of the episodes.
            dtype: of parameters and noise.
            device: where they are.
            record: (work, stream) -> what launches its kernels; None launches them one by one.
            carry_kind: of what the policies remember, [M, E, ...].
        """
        self.pinned = device.type == "cuda"
        self._device = device
        self._streams = streams_of(device)
        self._stream = self._streams.Stream(device=device) if self.pinned else torch.cpu.Stream()
        self._arrived = self._streams.Event()
        sizes = torch.Size(shape[1:4])
        self._policy = batched_policy(policy, sizes, dtype, device, carry_kind)
        steps = (shape.horizon, shape.num_tasks, shape.num_episodes, shape.action_size)

        def zeros(*lengths: int) -> Tensor:
            return torch.zeros(lengths, dtype=dtype, device=device)

        self._params = {
            name: zeros(shape.num_tasks, *value.shape) for name, value in policy.named_parameters()
        }
        self._carry = carry_kind.zeros(device)
        self._observation_MEO, self._noise_TMEA = zeros(*shape[1:4]), zeros(*steps)
        self._running_ME = torch.zeros(steps[1:3], dtype=torch.bool, device=device)
        # What the policy says tells which distribution it is, and of which type its actions are.
        example, _ = self._policy(self._params, self._observation_MEO, self._carry)
        self._distribution_T: Distribution = tree_map(
            lambda x: x.new_zeros(shape.horizon, *x.shape), example
        )
        self._action_MEA = torch.zeros_like(example.draw(self._noise_TMEA[0]))
        self._action_TMEA = self._action_MEA.new_zeros(steps)
        self._t = torch.zeros(1, dtype=torch.int64, device=device)
        self._host_action_MEA = torch.zeros(
            steps[1:], dtype=self._action_MEA.dtype, pin_memory=self.pinned
        )
        self._launch: Callable[[], None] = self._draw
        if record is not None:
            self._launch = record(self._draw, self._stream)

    def begin(self, params: Params, noise_TMEA: Tensor, carry: Carry = ()) -> None:
        """Starts a rollout from time step 0."""
        self._stream.wait_stream(self._streams.current_stream(self._device))
        with self._streams.stream(self._stream):
            for name, place in self._params.items():
                place.copy_(params[name])
            self._noise_TMEA.copy_(noise_TMEA)
            self._set_carry(carry)
            self._t.zero_()

    def act(self, t: int, observation_MEO: Tensor, running_ME: Tensor) -> np.ndarray:
        """See ``Actor``; time steps come in order."""
        with self._streams.stream(self._stream):
            self._observation_MEO.copy_(observation_MEO, non_blocking=True)
            if tree_leaves(self._carry):
                self._running_ME.copy_(running_ME, non_blocking=True)
            self._launch()
            self._host_action_MEA.copy_(self._action_MEA, non_blocking=True)
            self._arrived.record(self._stream)
        self._arrived.synchronize()
        return self._host_action_MEA.flatten(0, 1).numpy()

    def act_from(self, t: int, observation_MEO: Tensor) -> None:
        """See ``Actor``."""
        rest = slice(t, None)
        with self._streams.stream(self._stream):
            self._observation_MEO.copy_(observation_MEO, non_blocking=True)
            distribution, _ = self._policy(self._params, self._observation_MEO, self._carry)
            for place_T, x in self._places(distribution):
                place_T[rest] = x
            self._action_TMEA[rest] = distribution.draw(self._noise_TMEA[rest])

    def drawn(self) -> Drawn:
        """See ``Actor``; copies, since the next rollout takes this memory."""
        self._streams.current_stream(self._device).wait_stream(self._stream)
        action_TMEA = self._action_TMEA.clone()
        log_prob_TME = self._distribution_T.log_prob_of_draw(action_TMEA, self._noise_TMEA)
        return Drawn(action_TMEA, log_prob_TME, tree_map(torch.clone, self._carry))

    def _draw(self) -> None:
        """The policy's kernels, the same at every time step."""
        distribution, carry = self._policy(self._params, self._observation_MEO, self._carry)
        noise_MEA = self._noise_TMEA.index_select(0, self._t)[0]
        self._action_MEA.copy_(distribution.draw(noise_MEA))
        self._action_TMEA.index_copy_(0, self._t, self._action_MEA[None])
        for place_T, x in self._places(distribution):
            place_T.index_copy_(0, self._t, x[None])
        self._set_carry(carry_where(self._running_ME, carry, self._carry))
        self._t += 1

    def _places(self, distribution: Distribution) -> Iterator[tuple[Tensor, Tensor]]:
        """The memory [T, ...] of each parameter of the distributions, and its values [...]."""
        return zip(tree_leaves(self._distribution_T), tree_leaves(distribution), strict=True)

    def _set_carry(self, carry: Carry) -> None:
        for place, x in zip(tree_leaves(self._carry), tree_leaves(carry), strict=True):
            place.copy_(x)


def _drawing_policy(
    policy: nn.Module, shape: RolloutShape, dtype: torch.dtype, carry_kind: CarryKind
) -> Callable[[Params], Callable[..., tuple[Distribution, Tensor, list[Tensor]]]]:
    sizes, host = torch.Size(shape[1:4]), torch.device("cpu")
    return drawing_policy(policy, sizes, shape.action_size, dtype, host, carry_kind)


@lru_cache(maxsize=16)
def _device_actor(
    policy: nn.Module,
    shape: RolloutShape,
    dtype: torch.dtype,
    device: torch.device,
    carry_kind: CarryKind,
    shard: int,
) -> DeviceActor:
    del shard
    with torch.no_grad():
        record = recorded_or_launched if device.type == "cuda" else None
        return DeviceActor(policy, shape, dtype, device, record, carry_kind)


def recorded_or_launched(work: Callable[[], None], stream: torch.cuda.Stream) -> Callable[[], None]:
    """What launches the kernels of ``work`` together, or where that fails ``work`` itself."""
    try:
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        with torch.cuda.stream(stream):
            work()
        graph, _ = record_graph(work, stream)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # drivers and kernels fail in all kinds of ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warnings.warn(f"the policy's kernels are launched one by one: {reason}", stacklevel=2)
        return work
    return graph.replay
