"""A stochastic policy: a diagonal Gaussian whose spread does not depend on the observation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from meta_rl.distributions.diagonal_gaussian import DiagonalGaussian
from meta_rl.models.mlp import MLP
from meta_rl.types import Carry


class GaussianPolicy(nn.Module):
    """Mean from an MLP, a learned log standard deviation per action (MAML paper, appendix A.2).

    The log_std is one of the parameters that adaptation and the meta-update change.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        *,
        hidden_sizes: Sequence[int],
        activation: str,
        output_scale: float,
        init_std: float,
        min_std: float,
        generator: torch.Generator,
    ) -> None:
        """``min_std`` is a floor: below it the standard deviation no longer follows log_std."""
        super().__init__()
        self.mean = MLP(
            observation_size,
            hidden_sizes,
            action_size,
            activation=activation,
            output_scale=output_scale,
            generator=generator,
        )
        self.log_std = nn.Parameter(torch.full((action_size,), math.log(init_std)))
        self.min_log_std = math.log(min_std)

    def forward(self, observation: Tensor, carry: Carry) -> tuple[DiagonalGaussian, Carry]:
        """[..., O] -> mean and log_std, both [..., A]; there is no memory to carry."""
        mean = self.mean(observation)
        log_std = self.log_std.clamp(min=self.min_log_std).expand_as(mean)
        return DiagonalGaussian(mean, log_std), carry
