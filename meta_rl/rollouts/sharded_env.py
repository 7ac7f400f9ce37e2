"""The simulations of a meta-batch in shards, each stepped by a thread of its own.

While one shard's policies choose actions, on one core, the other shard's physics keeps the rest of
the machine busy. Neither waits for the other before the last step.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Space
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from envs.task_env import TaskVectorEnv
from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.rollouts.acting import RolloutShape, prepare_actor
from meta_rl.rollouts.action_spaces import action_size, num_choices
from meta_rl.rollouts.batched_policy import CarryKind
from meta_rl.rollouts.sampler import collect, single_torch_thread
from meta_rl.types import Carry, Params, RolloutBatch


@dataclass(frozen=True)
class ShardedEnv:
    """Environments of one kind that share out the tasks, in order.

    Attributes:
        shards: one environment per shard.
        num_parallel: how many of them are stepped at the same time.
    """

    shards: tuple[TaskVectorEnv, ...]
    num_parallel: int

    @property
    def num_envs(self) -> int:
        """Simulations in all."""
        return sum(shard.num_envs for shard in self.shards)

    @property
    def single_observation_space(self) -> Box:
        """Of one simulation, a vector."""
        return self.shards[0].single_observation_space

    @property
    def single_action_space(self) -> Space[Any]:
        """Of one simulation, see ``TaskVectorEnv``."""
        return self.shards[0].single_action_space

    @property
    def observation_size(self) -> int:
        """O."""
        return self.single_observation_space.shape[0]

    @property
    def action_size(self) -> int:
        """A, the number of components of an action."""
        return action_size(self.single_action_space)

    @property
    def num_choices(self) -> tuple[int, ...]:
        """Of each component of a discrete action; empty for continuous actions."""
        return num_choices(self.single_action_space)

    @property
    def task_parameter_names(self) -> tuple[str, ...]:
        """The name of each entry of a task."""
        return self.shards[0].task_parameter_names

    @property
    def task_range(self) -> np.ndarray | None:
        """What the task distribution gives, see ``TaskVectorEnv``, [2, task_parameter]."""
        return self.shards[0].task_range

    @property
    def finite_tasks(self) -> np.ndarray | None:
        """Every task of a finite distribution, see ``TaskVectorEnv``, [task, task_parameter]."""
        return self.shards[0].finite_tasks

    @property
    def test_tasks(self) -> np.ndarray | None:
        """Tasks that training never draws, see ``TaskVectorEnv``, [task, task_parameter]."""
        return self.shards[0].test_tasks

    def sample_tasks(self, num_tasks: int, rng: np.random.Generator) -> np.ndarray:
        """Draws from the task distribution, float64 [num_tasks, task_parameter]."""
        return self.shards[0].sample_tasks(num_tasks, rng)

    def close(self) -> None:
        """Ends the environments and their processes."""
        for shard in self.shards:
            shard.close()


def collect_sharded(
    policy: nn.Module,
    params: Params,
    env: ShardedEnv,
    tasks: np.ndarray,
    *,
    reset_seeds: Sequence[int],
    noise: Tensor,
    normaliser: ObservationNormaliser | None = None,
    carry: Carry = (),
) -> RolloutBatch:
    """``collect`` on every shard at the same time; arguments and result are those of ``collect``.

    Raises:
        EnvironmentFault, NumericalError: as ``collect``; where several shards fail, that of the
            first one.
    """
    _, num_episodes, horizon, num_components = noise.shape
    ends = list(accumulate(shard.num_envs // num_episodes for shard in env.shards))
    shares = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    on_host = normaliser and normaliser.to(torch.device("cpu"))

    def collect_share(index: int, share: slice) -> RolloutBatch:
        episodes = slice(share.start * num_episodes, share.stop * num_episodes)
        return collect(
            policy,
            {name: value[share] for name, value in params.items()},
            env.shards[index],
            tasks[share],
            reset_seeds=reset_seeds[episodes],
            noise=noise[share],
            normaliser=on_host,
            carry=carry_of(share),
            shard=index,
        )

    def carry_of(share: slice) -> Carry:
        return tree_map(lambda x: x[share], carry)

    # Around all shards, not inside each: the number of torch threads belongs to the process.
    with single_torch_thread():
        if env.num_parallel == 1:
            return _joined([collect_share(*work) for work in enumerate(shares)])
        for index, share in enumerate(shares):
            # Here, because tracing is not safe in threads; they find the traced policies again.
            num_tasks = share.stop - share.start
            shape = RolloutShape(
                horizon, num_tasks, num_episodes, env.observation_size, num_components
            )
            kind = CarryKind.of(carry_of(share))
            prepare_actor(policy, shape, noise.dtype, noise.device, kind, index)
        with ThreadPoolExecutor(env.num_parallel) as threads:
            return _joined(list(threads.map(collect_share, range(len(shares)), shares)))


def _joined(batches: Sequence[RolloutBatch]) -> RolloutBatch:
    """One batch of the tasks of all."""
    if len(batches) == 1:
        return batches[0]
    joined = {
        field.name: torch.cat([getattr(batch, field.name) for batch in batches])
        for field in fields(RolloutBatch)
        if isinstance(getattr(batches[0], field.name), Tensor)
    }
    return replace(
        batches[0],
        task=np.concatenate([batch.task for batch in batches]),
        num_diverged=sum(batch.num_diverged for batch in batches),
        carry=tree_map(lambda *parts: torch.cat(parts), *(batch.carry for batch in batches)),
        **joined,
    )
