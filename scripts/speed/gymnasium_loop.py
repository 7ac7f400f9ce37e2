"""The same episodes through Gymnasium's own vector environments, with the same policies."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from functools import partial

import gymnasium
import numpy as np
import torch
from torch import nn

from meta_rl.rollouts.action_spaces import environment_actions
from meta_rl.rollouts.batched_policy import CarryKind, batched_policy
from meta_rl.rollouts.sampler import single_torch_thread
from speed.sampling import Work

OURS, GYMNASIUMS = "HalfCheetahVel-v0", "HalfCheetah-v5"


def make_with_task(env_id: str, task: np.ndarray) -> gymnasium.Env:
    """``gymnasium.make``; Gymnasium's own half-cheetah has no tasks and gets none."""
    if env_id == GYMNASIUMS:
        with mujocos_warnings_dropped():
            return gymnasium.make(env_id)
    env = gymnasium.make(env_id)
    env.unwrapped.set_task(task)
    return env


def makers(env_id: str, work: Work) -> list[Callable[[], gymnasium.Env]]:
    """What a vector environment of the work's simulations is made from."""
    tasks = np.repeat(work.tasks, work.noise.shape[1], axis=0)
    return [partial(make_with_task, env_id, task) for task in tasks]


def play(
    env: gymnasium.vector.VectorEnv, policy: nn.Module, work: Work
) -> tuple[float, np.ndarray]:
    """Seconds that the work's episodes take, and the last observations acted on, [M * E, O]."""
    num_tasks, num_episodes, horizon, _ = work.noise.shape
    noise_TMEA = work.noise.permute(2, 0, 1, 3).contiguous()
    shape = torch.Size((num_tasks, num_episodes, env.single_observation_space.shape[0]))
    to_environment = environment_actions(env.single_action_space)
    start = time.perf_counter()
    observation, _ = env.reset(seed=work.reset_seeds)
    with single_torch_thread(), torch.no_grad():
        act = batched_policy(policy, shape, work.noise.dtype, work.noise.device, CarryKind.of(()))
        for t in range(horizon):
            seen = observation
            given = torch.from_numpy(seen).to(work.noise.device, work.noise.dtype)
            distribution, _ = act(work.params, given.view(shape), ())
            action = distribution.draw(noise_TMEA[t])
            observation = env.step(to_environment(action.flatten(0, 1).cpu().numpy()))[0]
    return time.perf_counter() - start, seen


@contextmanager
def mujocos_warnings_dropped() -> Iterator[None]:
    """Lets MuJoCo complain about Gymnasium's model where nobody sees it.

    It does so once per simulation, on the error stream and in a file in the working directory.
    """
    sys.stderr.flush()
    error_stream = os.dup(2)
    with tempfile.TemporaryDirectory() as folder, chdir(folder), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(error_stream, 2)
            os.close(error_stream)
