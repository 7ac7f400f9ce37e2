"""Categorical distributions, for discrete actions of one component or of several."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

# The logit of a choice that a component does not have. It is finite, so that no product with its
# probability, which is exactly zero in single and double precision, is 0 * inf.
NO_CHOICE = -1e9


class Categorical(NamedTuple):
    """Independent categorical components; see ``Distribution`` for the methods.

    Components may have different numbers of choices: those with fewer than N are padded with
    ``NO_CHOICE``, which is the only thing that tells them apart. Actions are int64 [..., A], each
    entry counted from zero.

    Attributes:
        logits: [..., A, N], N the largest number of choices of a component; they need not be
            normalised.
    """

    logits: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """The smallest choice whose cumulative probability reaches Phi(noise), int64 [..., A].

        Phi is the normal cumulative distribution function, so that Phi(noise) is uniform.
        """
        cumulative = functional.softmax(self.logits, dim=-1).cumsum(-1)
        # Times the last sum, which rounding leaves beside one, so that padding is never drawn.
        reached = torch.special.ndtr(noise)[..., None] * cumulative[..., -1:]
        return (cumulative < reached).sum(-1)

    def mode(self) -> Tensor:
        """The first choice of the greatest logit, int64 [..., A]."""
        return self.logits.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability of ``action`` [..., A], as [...]."""
        num_choices = self.logits.shape[-1]
        # A comparison rather than a gather, whose derivatives would scatter.
        is_chosen = action[..., None] == torch.arange(num_choices, device=action.device)
        return torch.where(is_chosen, self._log_probs(), 0.0).sum((-2, -1))

    def log_prob_of_draw(self, action: Tensor, noise: Tensor) -> Tensor:
        """``log_prob(action)``: a choice says nothing more about its noise, [...]."""
        del noise
        return self.log_prob(action)

    def kl_divergence(self, other: Self) -> Tensor:
        """KL(self || other), [...]; both have the same numbers of choices."""
        log_probs = self._log_probs()
        return (log_probs.exp() * (log_probs - other._log_probs())).sum((-2, -1))

    def entropy(self) -> Tensor:
        """``-sum p log p``, [...]."""
        log_probs = self._log_probs()
        return -(log_probs.exp() * log_probs).sum((-2, -1))

    def fisher_vector_product(self, tangent: Self) -> Self:
        """``diag(p) - p p^T`` of each component times the tangent of its logits.

        It is singular: adding a constant to the logits of a component changes nothing.
        """
        p = functional.softmax(self.logits, dim=-1)
        mean = (p * tangent.logits).sum(-1, keepdim=True)
        return type(self)(p * (tangent.logits - mean))

    def _log_probs(self) -> Tensor:
        return functional.log_softmax(self.logits, dim=-1)


def categorical_of(logits: Tensor, num_choices: Sequence[int]) -> Categorical:
    """The components whose logits follow each other along one axis.

    Args:
        logits: [..., sum of num_choices].
        num_choices: of each component, A of them.
    """
    most = max(num_choices)
    components = [
        functional.pad(component, (0, most - component.shape[-1]), value=NO_CHOICE)
        for component in logits.split(list(num_choices), dim=-1)
    ]
    return Categorical(torch.stack(components, dim=-2))
