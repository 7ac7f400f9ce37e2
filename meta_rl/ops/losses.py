"""Losses and scores of supervised predictions, as means over examples."""

import torch
from torch import Tensor
from torch.nn import functional


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of (prediction - target)^2: [X, output], [X, output] -> []."""
    return (prediction - target).square().mean()


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[label], in nats: [X, way], int64 [X] -> []."""
    return functional.cross_entropy(logits, label)


def accuracy(logits: Tensor, label: Tensor) -> Tensor:
    """Share of examples whose label has the largest logit: [X, way], int64 [X] -> []."""
    return (logits.argmax(-1) == label).to(torch.float32).mean()
