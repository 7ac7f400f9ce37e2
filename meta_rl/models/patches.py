"""3 x 3 patches of images and their adjoint, fast also where both are differentiated.

Written with slices, the derivative would fill one image of zeros for each of the nine places in a
patch. Extracting patches and adding them up again are linear and adjoint to each other, so that
each is the other's derivative, to any order.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

KERNEL = 3


def extract_patches(image: Tensor, stride: int) -> Tensor:
    """The pixels around every ``stride``-th pixel, zero outside the image.

    [X, H, W, C] -> [X, ceil(H / stride), ceil(W / stride), 9 C], rows of a patch first.
    """
    if torch.compiler.is_compiling():
        # The compiler fuses the slices, and does not know functions with a vmap of their own.
        return _extract(image, stride)
    return _Extract.apply(image, stride)


def _extract(image: Tensor, stride: int) -> Tensor:
    padded = functional.pad(image, (0, 0, 1, 1, 1, 1))
    return torch.cat([padded[place] for place in _places(image.shape[1:3], stride)], dim=-1)


def _add_up(patch: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """The adjoint: [X, H', W', 9 C] -> [X, H, W, C], each pixel the sum over its patches."""
    num_channels = patch.shape[-1] // KERNEL**2
    height, width = size
    padded = patch.new_zeros(len(patch), height + 2, width + 2, num_channels)
    for place, piece in zip(_places(size, stride), patch.split(num_channels, dim=-1), strict=True):
        padded[place] += piece
    return padded[:, 1:-1, 1:-1]


def _places(size: tuple[int, int] | torch.Size, stride: int) -> list[tuple[slice, ...]]:
    """Where in the padded images each of the nine pixels of all patches lies."""
    ends = [stride * (math.ceil(length / stride) - 1) + 1 for length in size]
    return [
        (slice(None), slice(row, row + ends[0], stride), slice(column, column + ends[1], stride))
        for row in range(KERNEL)
        for column in range(KERNEL)
    ]


class _Extract(torch.autograd.Function):
    @staticmethod
    def forward(image: Tensor, stride: int) -> Tensor:
        return _extract(image, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        image, ctx.stride = inputs
        ctx.size = tuple(image.shape[1:3])

    @staticmethod
    def backward(ctx: Any, *patch_gradient: Tensor) -> tuple[Tensor, None]:
        return _AddUp.apply(patch_gradient[0], ctx.size, ctx.stride), None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], image: Tensor, stride: int
    ) -> tuple[Tensor, int]:
        batched = image.movedim(in_dims[0] or 0, 0)
        patch = _Extract.apply(batched.flatten(0, 1), stride)
        return patch.unflatten(0, batched.shape[:2]), 0


class _AddUp(torch.autograd.Function):
    @staticmethod
    def forward(patch: Tensor, size: tuple[int, int], stride: int) -> Tensor:
        return _add_up(patch, size, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, _, ctx.stride = inputs

    @staticmethod
    def backward(ctx: Any, *image_gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Extract.apply(image_gradient[0], ctx.stride), None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        patch: Tensor,
        size: tuple[int, int],
        stride: int,
    ) -> tuple[Tensor, int]:
        batched = patch.movedim(in_dims[0] or 0, 0)
        image = _AddUp.apply(batched.flatten(0, 1), size, stride)
        return image.unflatten(0, batched.shape[:2]), 0
