"""Many policies on their own observations, as one plain function."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_map, tree_unflatten

from meta_rl.distributions.protocol import Distribution
from meta_rl.models.policy import policy_output
from meta_rl.ops.params import repeat_per_task
from meta_rl.ops.tracing import traced, traced_in_two
from meta_rl.types import Carry, Params

BatchedPolicy = Callable[[Params, Tensor, Carry], tuple[Distribution, Carry]]


class CarryKind(NamedTuple):
    """What a carry looks like, without its numbers: a key for what is traced once.

    Attributes:
        structure: of the pytree.
        leaves: shape and type of each tensor.
    """

    structure: TreeSpec
    leaves: tuple[tuple[torch.Size, torch.dtype], ...]

    @classmethod
    def of(cls, carry: Carry) -> Self:
        """The kind of a carry."""
        leaves, structure = tree_flatten(carry)
        return cls(structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))

    def zeros(self, device: torch.device) -> Carry:
        """A carry of this kind."""
        leaves = [torch.zeros(shape, dtype=dtype, device=device) for shape, dtype in self.leaves]
        return tree_unflatten(leaves, self.structure)


@lru_cache(maxsize=16)
def batched_policy(
    policy: nn.Module,
    shape: torch.Size,
    dtype: torch.dtype,
    device: torch.device,
    carry_kind: CarryKind,
) -> BatchedPolicy:
    """Traces ``vmap`` over tasks once, since a rollout calls it at every time step.

    A small policy costs a third of what it does through vmap and the module.

    Args:
        policy: see ``models/policy.py``; without control flow that depends on values.
        shape: of the observations, [M, E, O].
        dtype: of the observations.
        device: of the observations and parameters.
        carry_kind: of the carry, [M, E, ...].

    Returns:
        (parameters with a leading task axis, observations, carry) -> distributions over actions
        [M, E, A], and the carry.
    """
    params = repeat_per_task(dict(policy.named_parameters()), shape[0])
    with torch.no_grad():
        observation = torch.zeros(shape, dtype=dtype, device=device)
        return traced(_per_task(policy), params, observation, carry_kind.zeros(device))


@lru_cache(maxsize=16)
def drawing_policy(
    policy: nn.Module,
    shape: torch.Size,
    action_size: int,
    dtype: torch.dtype,
    device: torch.device,
    carry_kind: CarryKind,
) -> Callable[[Params], Callable[..., tuple[Distribution, Tensor, list[Tensor]]]]:
    """As ``batched_policy``, with the draw, for parameters that stay while observations change.

    Returns:
        parameters with a leading task axis -> (observations, noise [M, E, A], running [M, E], the
        carry's tensors one by one -> distributions, actions [M, E, A] and the carry's tensors,
        which stay as they are where an episode is not running). What none of these has an
        influence on is computed once.
    """
    per_task = _per_task(policy)

    def acting(params: Params) -> Callable[..., Any]:
        def act(observation: Tensor, noise: Tensor, running: Tensor, *leaves: Tensor) -> Any:
            carry = tree_unflatten(list(leaves), carry_kind.structure)
            distribution, after = per_task(params, observation, carry)
            kept = carry_where(running, after, carry)
            return distribution, distribution.draw(noise), tree_leaves(kept)

        return act

    params = repeat_per_task(dict(policy.named_parameters()), shape[0])
    with torch.no_grad():
        examples = [
            torch.zeros(shape, dtype=dtype, device=device),
            torch.zeros((*shape[:2], action_size), dtype=dtype, device=device),
            torch.zeros(shape[:2], dtype=torch.bool, device=device),
        ]
        return traced_in_two(acting, (params,), *examples, *tree_leaves(carry_kind.zeros(device)))


def carry_where(running: Tensor, after: Carry, before: Carry) -> Carry:
    """``after`` for episodes that are running, [M, E], and ``before`` for all others."""

    def chosen(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(running[(..., *[None] * (new.ndim - running.ndim))], new, old)

    return tree_map(chosen, after, before)


def _per_task(policy: nn.Module) -> BatchedPolicy:
    return vmap(
        lambda params, observation, carry: policy_output(policy, params, observation, carry)
    )
