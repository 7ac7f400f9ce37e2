"""A stochastic policy over discrete actions: the logits are an MLP's outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from meta_rl.distributions.categorical import Categorical, categorical_of
from meta_rl.models.mlp import MLP
from meta_rl.types import Carry


class CategoricalPolicy(nn.Module):
    """Independent components, each with choices of its own, that share all layers but the last."""

    def __init__(
        self,
        observation_size: int,
        num_choices: Sequence[int],
        *,
        hidden_sizes: Sequence[int],
        activation: str,
        output_scale: float,
        generator: torch.Generator,
    ) -> None:
        """``num_choices`` is of each component of an action.

        The smaller ``output_scale``, the closer to uniform the initial choices.
        """
        super().__init__()
        self.num_choices = tuple(num_choices)
        self.logits = MLP(
            observation_size,
            hidden_sizes,
            sum(num_choices),
            activation=activation,
            output_scale=output_scale,
            generator=generator,
        )

    def forward(self, observation: Tensor, carry: Carry) -> tuple[Categorical, Carry]:
        """[..., O] -> logits [..., A, N]; there is no memory to carry."""
        return categorical_of(self.logits(observation), self.num_choices), carry
