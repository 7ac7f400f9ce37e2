"""Parameters as one vector, and back."""

import torch
from torch import Tensor, nn

from meta_rl.types import Params


def initial_params(module: nn.Module) -> Params:
    """A copy of the module's parameters as the explicit argument that everything here takes."""
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def ravel(params: Params) -> Tensor:
    """Concatenates all entries, in the dictionary's order, into one vector [num_parameters]."""
    return torch.cat([value.reshape(-1) for value in params.values()])


def unravel(vector: Tensor, like: Params) -> Params:
    """Cuts a vector [num_parameters] into entries named and shaped as those of ``like``."""
    pieces = vector.split([value.numel() for value in like.values()])
    return {
        name: piece.view_as(value)
        for (name, value), piece in zip(like.items(), pieces, strict=True)
    }


def split_parameters(vector: Tensor, like: Params) -> Params:
    """Cuts vectors [M, num_parameters] into entries [M, ...] named as those of ``like``."""
    pieces = vector.split([value.numel() for value in like.values()], dim=-1)
    return {
        name: piece.reshape(len(vector), *value.shape)
        for (name, value), piece in zip(like.items(), pieces, strict=True)
    }


def repeat_per_task(params: Params, num_tasks: int) -> Params:
    """Adds a leading task axis [num_tasks, ...] without copying."""
    return {name: value.expand(num_tasks, *value.shape) for name, value in params.items()}
