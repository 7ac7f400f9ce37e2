"""What every distribution over actions can do."""

from typing import Protocol, Self

from torch import Tensor


class Distribution(Protocol):
    """A NamedTuple of parameter tensors, so that it passes through vmap, vjp and traces.

    The parameters have leading axes, written ``...`` here, for the distributions of a batch. An
    action is [..., A]: the components are independent, so everything is a sum over them. Averaging
    in its place would change every ratio and every divergence.
    """

    def draw(self, noise: Tensor) -> Tensor:
        """An action for each entry of a standard normal ``noise`` [..., A], as [..., A].

        The noise is the only source of randomness, whatever the kind of distribution. Leading axes
        broadcast.
        """

    def mode(self) -> Tensor:
        """The most probable action, [..., A]."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density or log-probability of ``action`` [..., A] in nats, [...]."""

    def log_prob_of_draw(self, action: Tensor, noise: Tensor) -> Tensor:
        """``log_prob(action)`` of ``action = draw(noise)``, without loss of precision, [...]."""

    def kl_divergence(self, other: Self) -> Tensor:
        """KL(self || other) in nats, [...], in closed form."""

    def entropy(self) -> Tensor:
        """In nats, [...]; that of a density may be negative."""

    def fisher_vector_product(self, tangent: Self) -> Self:
        """The Fisher matrix of the parameters times a tangent, which has their shapes.

        It is the Hessian of ``kl_divergence`` at equal arguments.
        """
