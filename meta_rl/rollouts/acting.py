"""The policies of a shard of tasks choose actions, on the CPU or on a GPU."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from meta_rl.ops.cuda_graphs import record_graph, streams_of
from meta_rl.rollouts.batched_policy import batched_policy, batched_policy_of_params
from meta_rl.types import Params


class RolloutShape(NamedTuple):
    """Lengths of the axes of a shard's episodes."""

    horizon: int
    num_tasks: int
    num_episodes: int
    observation_size: int
    action_size: int


class Actor(Protocol):
    """Chooses the actions of one time step after another.

    Attributes:
        pinned: whether observations should lie in page-locked memory, from which they are fetched
            while the host goes on.
    """

    pinned: bool

    def act(self, t: int, observation_MEO: Tensor) -> np.ndarray:
        """The actions of time step t, [M * E, A], on the host and until the next call."""

    def act_from(self, t: int, observation_MEO: Tensor) -> None:
        """Draws the actions of all time steps from t on, which see the same observations."""

    def drawn(self) -> tuple[Tensor, Tensor]:
        """Actions and log_std of all time steps, [T, M, E, A], where the parameters are."""


def make_actor(
    policy: nn.Module, params: Params, noise_TMEA: Tensor, observation_size: int, shard: int
) -> Actor:
    """An actor for one rollout.

    Args:
        policy: maps observations to an ``ActionDistribution``.
        params: the tasks' parameters, [M, ...].
        noise_TMEA: standard normal, on their device and of their type.
        observation_size: O.
        shard: on a GPU, shards that act at the same time have different memory.
    """
    horizon, num_tasks, num_episodes, action_size = noise_TMEA.shape
    shape = RolloutShape(horizon, num_tasks, num_episodes, observation_size, action_size)
    if noise_TMEA.device.type == "cpu":
        return HostActor(policy, shape, params, noise_TMEA)
    actor = _device_actor(policy, shape, noise_TMEA.dtype, noise_TMEA.device, shard)
    actor.begin(params, noise_TMEA)
    return actor


def prepare_actor(
    policy: nn.Module, shape: RolloutShape, dtype: torch.dtype, device: torch.device, shard: int
) -> None:
    """Does what ``make_actor`` must not do in threads: it traces the policy and records kernels."""
    if device.type == "cpu":
        batched_policy_of_params(policy, torch.Size(shape[1:4]), dtype, device)
    else:
        _device_actor(policy, shape, dtype, device, shard)


class HostActor:
    """Acts where the environments are."""

    pinned = False

    def __init__(
        self, policy: nn.Module, shape: RolloutShape, params: Params, noise_TMEA: Tensor
    ) -> None:
        self._noise_TMEA = noise_TMEA
        self._action_TMEA = torch.zeros_like(noise_TMEA)
        self._log_std_TMEA = torch.zeros_like(noise_TMEA)
        policy_of_params = batched_policy_of_params(
            policy, torch.Size(shape[1:4]), noise_TMEA.dtype, noise_TMEA.device
        )
        self._policy = policy_of_params(params)

    def act(self, t: int, observation_MEO: Tensor) -> np.ndarray:
        """See ``Actor``."""
        self._draw(t, observation_MEO)
        return self._action_TMEA[t].flatten(0, 1).numpy()

    def act_from(self, t: int, observation_MEO: Tensor) -> None:
        """See ``Actor``."""
        self._draw(slice(t, None), observation_MEO)

    def drawn(self) -> tuple[Tensor, Tensor]:
        """See ``Actor``."""
        return self._action_TMEA, self._log_std_TMEA

    def _draw(self, t: int | slice, observation_MEO: Tensor) -> None:
        mean, log_std, std = self._policy(observation_MEO)
        self._log_std_TMEA[t] = log_std
        torch.addcmul(mean, std, self._noise_TMEA[t], out=self._action_TMEA[t])


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
    ) -> None:
        """Allocates and records.

        Args:
            policy: maps observations to an ``ActionDistribution``.
            shape: of the episodes.
            dtype: of parameters and noise.
            device: where they are.
            record: (work, stream) -> what launches its kernels; None launches them one by one.
        """
        self.pinned = device.type == "cuda"
        self._device = device
        self._streams = streams_of(device)
        self._stream = self._streams.Stream(device=device) if self.pinned else torch.cpu.Stream()
        self._arrived = self._streams.Event()
        self._policy = batched_policy(policy, torch.Size(shape[1:4]), dtype, device)
        steps = (shape.horizon, shape.num_tasks, shape.num_episodes, shape.action_size)

        def zeros(*lengths: int) -> Tensor:
            return torch.zeros(lengths, dtype=dtype, device=device)

        self._params = {
            name: zeros(shape.num_tasks, *value.shape) for name, value in policy.named_parameters()
        }
        self._observation_MEO, self._action_MEA = zeros(*shape[1:4]), zeros(*steps[1:])
        self._noise_TMEA, self._action_TMEA, self._log_std_TMEA = (zeros(*steps) for _ in range(3))
        self._t = torch.zeros(1, dtype=torch.int64, device=device)
        self._host_action_MEA = torch.zeros(steps[1:], dtype=dtype, pin_memory=self.pinned)
        self._launch: Callable[[], None] = self._draw
        if record is not None:
            self._launch = record(self._draw, self._stream)

    def begin(self, params: Params, noise_TMEA: Tensor) -> None:
        """Starts a rollout from time step 0."""
        self._stream.wait_stream(self._streams.current_stream(self._device))
        with self._streams.stream(self._stream):
            for name, place in self._params.items():
                place.copy_(params[name])
            self._noise_TMEA.copy_(noise_TMEA)
            self._t.zero_()

    def act(self, t: int, observation_MEO: Tensor) -> np.ndarray:
        """See ``Actor``; time steps come in order."""
        with self._streams.stream(self._stream):
            self._observation_MEO.copy_(observation_MEO, non_blocking=True)
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
            mean, log_std = self._policy(self._params, self._observation_MEO)
            self._log_std_TMEA[rest] = log_std
            torch.addcmul(mean, log_std.exp(), self._noise_TMEA[rest], out=self._action_TMEA[rest])

    def drawn(self) -> tuple[Tensor, Tensor]:
        """See ``Actor``; copies, since the next rollout takes this memory."""
        self._streams.current_stream(self._device).wait_stream(self._stream)
        return self._action_TMEA.clone(), self._log_std_TMEA.clone()

    def _draw(self) -> None:
        """The policy's kernels, the same at every time step."""
        mean, log_std = self._policy(self._params, self._observation_MEO)
        noise_MEA = self._noise_TMEA.index_select(0, self._t)[0]
        torch.addcmul(mean, log_std.exp(), noise_MEA, out=self._action_MEA)
        self._action_TMEA.index_copy_(0, self._t, self._action_MEA[None])
        self._log_std_TMEA.index_copy_(0, self._t, log_std[None])
        self._t += 1


@lru_cache(maxsize=16)
def _device_actor(
    policy: nn.Module, shape: RolloutShape, dtype: torch.dtype, device: torch.device, shard: int
) -> DeviceActor:
    del shard
    with torch.no_grad():
        record = recorded_or_launched if device.type == "cuda" else None
        return DeviceActor(policy, shape, dtype, device, record)


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
