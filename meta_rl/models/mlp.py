"""A multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}


class MLP(nn.Module):
    """Linear layers with an activation between them, and none after the last.

    Weights start Xavier-uniform and biases at zero, as in the policies of the MAML paper's code.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        *,
        activation: str,
        output_scale: float,
        generator: torch.Generator,
    ) -> None:
        """Draws the initial weights from ``generator``; sizes may name no hidden layer.

        ``output_scale`` multiplies those of the last layer.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for num_in, num_out in pairwise((input_size, *hidden_sizes, output_size)):
            linear = nn.Linear(num_in, num_out)
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, ACTIVATIONS[activation]()]
        with torch.no_grad():
            linear.weight.mul_(output_scale)
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """[..., input_size] -> [..., output_size]."""
        if x.ndim == 2:
            return self.layers(x)
        # One matrix product over all leading axes: under vmap with per-task weights, a product
        # of higher rank would first copy the weights once per episode.
        return self.layers(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
