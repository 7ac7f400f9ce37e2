"""The sampler: episodes of many tasks at once, one batched policy forward per time step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from envs.task_env import EnvironmentFault, TaskVectorEnv
from envs.task_words import joined_entries
from meta_rl.models.observation_normaliser import ObservationNormaliser
from meta_rl.reading import SentenceError
from meta_rl.rollouts.acting import make_actor
from meta_rl.rollouts.action_spaces import environment_actions
from meta_rl.types import Carry, Params, RolloutBatch


class NumericalError(SentenceError):
    """A quantity that training depends on is not finite; the message is one sentence."""


def collect(
    policy: nn.Module,
    params: Params,
    env: TaskVectorEnv,
    tasks: np.ndarray,
    *,
    reset_seeds: Sequence[int],
    noise: Tensor,
    normaliser: ObservationNormaliser | None = None,
    carry: Carry = (),
    shard: int = 0,
) -> RolloutBatch:
    """Plays one episode in every simulation of ``env``, each task's own policy acting.

    Episodes that end early are not stepped any further. All random numbers are given: the same
    arguments return the same batch, whatever the number of physics threads. Run it inside
    ``single_torch_thread``, as ``collect_sharded`` does.

    Args:
        policy: (observation, carry) -> (distribution over actions, carry).
        params: the tasks' parameters, with a leading task axis [M, ...].
        env: M * E simulations, task by task; its time limit is the horizon T.
        tasks: float64 [M, P].
        reset_seeds: M * E seeds of the initial states.
        noise: standard normal [M, E, T, A], on the device and of the type of ``params``.
        normaliser: what the policies see observations through, on the CPU; the batch holds them as
            they were.
        carry: what the policies remember at the beginning of the episodes, [M, E, ...], on the
            device of ``params``; ``()`` for policies without memory. They remember until an
            episode's last step, and not what follows it.
        shard: which of the calls that run at the same time this is.

    Returns:
        The batch, on the device of ``params``.

    Raises:
        EnvironmentFault: an observation or reward is not finite.
        NumericalError: an action is not finite, although the observations are.
    """
    num_tasks, num_episodes, horizon, _ = noise.shape
    assert env.num_envs == num_tasks * num_episodes
    to_environment = environment_actions(env.single_action_space)
    # Time leads inside the loop, so that each step reads and writes contiguous blocks.
    noise_TMEA = noise.permute(2, 0, 1, 3).contiguous()
    observation_size = env.single_observation_space.shape[0]
    seen = normaliser or (lambda observation: observation)
    env.set_tasks(np.repeat(tasks, num_episodes, axis=0))
    observation, _ = env.reset(seed=list(reset_seeds))
    with torch.no_grad():
        actor = make_actor(policy, params, noise_TMEA, observation_size, shard, carry)
        record = _EpisodeRecord(env, num_tasks, horizon, noise.dtype, pinned=actor.pinned)
        for t in range(horizon):
            seen_MEO = seen(record.before_step(t, observation))
            action = actor.act(t, seen_MEO, record.valid_TME[t])
            if not np.isfinite(action).all():
                record.check_finite(tasks, env.task_parameter_names)
                action_sum = torch.from_numpy(action).sum(-1)
                task = tasks[_first_not_finite(action_sum.view(num_tasks, num_episodes))]
                named = named_task(task, env.task_parameter_names)
                raise NumericalError(f"The policy's action is not finite ({named}).")
            observation, reward, terminated, truncated, info = env.step(to_environment(action))
            record.after_step(t, reward, terminated, truncated, info)
            if record.ended.all() and t + 1 < horizon:
                actor.act_from(t + 1, seen(record.pad(t + 1, observation)))
                break
        drawn = actor.drawn()
    record.check_finite(tasks, env.task_parameter_names)

    def task_first(x: Tensor) -> Tensor:
        """[T, M, E, ...] -> [M, E, T, ...] on the policy's device."""
        return x.to(noise.device, non_blocking=True).movedim(0, 2).contiguous()

    return RolloutBatch(
        observation=task_first(record.observation_TMEO),
        action=task_first(drawn.action),
        log_prob=task_first(drawn.log_prob),
        reward=task_first(record.reward_TME),
        terminated=task_first(record.terminated_TME),
        truncated=task_first(record.truncated_TME),
        valid=task_first(record.valid_TME),
        task=tasks,
        num_diverged=record.num_diverged,
        success=record.success_per_task(num_tasks, noise.device),
        carry=drawn.carry,
    )


@contextmanager
def single_torch_thread() -> Iterator[None]:
    """One torch thread inside: the policy's products are small, and physics wants the cores.

    The number belongs to the process, not to a Python thread: two threads that each save and
    restore it can leave it at 1 for good. So it is set by the thread that starts the others, around
    all of them.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


class _EpisodeRecord:
    """What the environment said, written straight into [T, M, E, ...] tensors.

    Attributes:
        ended: bool [M * E], the episodes that are over.
        num_diverged: episodes that a diverging simulation ended.
        success: bool [M * E], the episodes with a successful step; None until one is spoken of.
    """

    def __init__(
        self,
        env: TaskVectorEnv,
        num_tasks: int,
        horizon: int,
        dtype: torch.dtype,
        *,
        pinned: bool,
    ) -> None:
        shape = (horizon, num_tasks, env.num_envs // num_tasks)
        observation_size = env.single_observation_space.shape[0]

        def zeros(*lengths: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(lengths, dtype=dtype, pin_memory=pinned)

        self.observation_TMEO = zeros(*shape, observation_size, dtype=dtype)
        self.reward_TME = zeros(*shape, dtype=dtype)
        self.terminated_TME = zeros(*shape, dtype=torch.bool)
        self.truncated_TME = zeros(*shape, dtype=torch.bool)
        self.valid_TME = zeros(*shape, dtype=torch.bool)
        self.ended = np.zeros(env.num_envs, dtype=bool)
        self.num_diverged = 0
        self.success: Tensor | None = None
        self._observation = self.observation_TMEO.view(horizon, env.num_envs, -1).numpy()
        self._flat = {
            name: getattr(self, f"{name}_TME").view(horizon, env.num_envs).numpy()
            for name in ("reward", "terminated", "truncated", "valid")
        }

    def before_step(self, t: int, observation: np.ndarray) -> Tensor:
        """Keeps the observation [M * E, O] of step t; returns it as [M, E, O]."""
        # A number that float32 cannot hold becomes infinite, which check_finite reports.
        with np.errstate(over="ignore"):
            self._observation[t] = observation
        np.logical_not(self.ended, out=self._flat["valid"][t])
        return self.observation_TMEO[t]

    def after_step(
        self,
        t: int,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        info: dict[str, Any],
    ) -> None:
        """Keeps the outcome of step t for the episodes that were still running."""
        running = self._flat["valid"][t]
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(reward, running, out=self._flat["reward"][t], casting="same_kind")
        np.logical_and(terminated, running, out=self._flat["terminated"][t])
        np.logical_and(truncated, running, out=self._flat["truncated"][t])
        if "diverged" in info:
            self.num_diverged += int(np.count_nonzero(info["diverged"] & running))
        if "success" in info:
            now = torch.from_numpy(info["success"] & running)
            self.success = now if self.success is None else self.success | now
        self.ended |= terminated | truncated

    def pad(self, t: int, observation: np.ndarray) -> Tensor:
        """Repeats the final observations [M * E, O] from step t on; returns them as [M, E, O]."""
        self._observation[t:] = observation
        return self.observation_TMEO[t]

    def success_per_task(self, num_tasks: int, device: torch.device) -> Tensor | None:
        """``success`` as [M, E]."""
        return None if self.success is None else self.success.view(num_tasks, -1).to(device)

    def check_finite(self, tasks: np.ndarray, task_parameter_names: Sequence[str]) -> None:
        """Raises EnvironmentFault naming the first task with a non-finite number."""
        for quantity, values in (
            ("observation", self.observation_TMEO.sum(-1)),
            ("reward", self.reward_TME),
        ):
            if not bool(torch.isfinite(values).all()):
                task = tasks[_first_not_finite(values)]
                named = named_task(task, task_parameter_names)
                raise EnvironmentFault(
                    f"The environment returned a non-finite {quantity} ({named})."
                )


def _first_not_finite(values: Tensor) -> int:
    """The first task of [..., M, E] in which something is not finite."""
    finite_M = torch.isfinite(values).all(-1).reshape(-1, values.shape[-2]).all(0)
    return int(finite_M.int().argmin())


def named_task(task: np.ndarray, names: Sequence[str]) -> str:
    """``task goal_x=0.5, goal_y=-1``."""
    entries = [f"{name}={value:g}" for name, value in zip(names, task, strict=True)]
    return f"task {joined_entries(entries)}"
