"""The convolutional classifiers of the few-shot papers, fit for per-task weights."""

import math

import torch
from torch import Tensor, nn

from meta_rl.models.patches import KERNEL, extract_patches

NUM_LAYERS = 4


class ConvClassifier(nn.Module):
    """Four times [3x3 convolution, batch-statistics normalisation, ReLU], then a linear layer.

    The ``maml`` net (Finn et al. 2017, section 5.2; Vinyals et al. 2016) has no bias in its
    convolutions, because the normalisation takes it out again, and averages over space where
    ``strided``. The ``reptile`` net has biases and flattens: 113,221 parameters for 5 ways, 64
    filters and 28 x 28 pixels.

    Each convolution is a product of patches with a matrix. Under vmap with per-task weights that
    is one batched matrix product, where ``conv2d`` would become a grouped convolution.

    Attributes:
        strided: convolutions with stride 2; else with stride 1, each followed by 2 x 2 max-pooling
            (the mini-ImageNet nets), whose features are always flattened.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_filters: int,
        num_ways: int,
        *,
        architecture: str,
        strided: bool,
        generator: torch.Generator,
    ) -> None:
        """Draws Xavier-uniform weights; ``image_shape`` is (height, width, channel)."""
        super().__init__()
        height, width, num_in = image_shape
        self.strided = strided
        self._average = architecture == "maml" and strided
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.scales = nn.ParameterList()
        self.shifts = nn.ParameterList()
        for _ in range(NUM_LAYERS):
            weight = torch.empty(KERNEL, KERNEL, num_in, num_filters)
            bound = math.sqrt(6.0 / (KERNEL**2 * (num_in + num_filters)))
            self.weights.append(nn.Parameter(weight.uniform_(-bound, bound, generator=generator)))
            if architecture == "reptile":
                self.biases.append(nn.Parameter(torch.zeros(num_filters)))
            self.scales.append(nn.Parameter(torch.ones(num_filters)))
            self.shifts.append(nn.Parameter(torch.zeros(num_filters)))
            num_in = num_filters
            half = (lambda size: (size + 1) // 2) if strided else (lambda size: size // 2)
            height, width = half(height), half(width)
        num_features = num_filters if self._average else num_filters * height * width
        self.head = nn.Linear(num_features, num_ways)
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor) -> Tensor:
        """[X, height, width, channel] -> [X, way]; the X examples share batch statistics."""
        features = image
        for layer in range(NUM_LAYERS):
            patch = extract_patches(features, stride=2 if self.strided else 1)
            features = patch.flatten(0, 2) @ self.weights[layer].flatten(0, 2)
            if len(self.biases):
                features = features + self.biases[layer]
            features = normalise(features, self.scales[layer], self.shifts[layer]).relu()
            features = features.unflatten(0, patch.shape[:3])
            if not self.strided:
                features = max_pool(features)
        features = features.mean((1, 2)) if self._average else features.flatten(1)
        return self.head(features)


def normalise(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Zero mean and unit variance of each channel over the batch, then scale and shift.

    [row, C] -> [row, C]. No running statistics: these are the batch's own, also at test.
    """
    # Not var_mean, which is several times slower over the first axis.
    centred = features - features.mean(0)
    variance = centred.square().mean(0)
    return centred * (scale * torch.rsqrt(variance + 1e-5)) + shift


def max_pool(features: Tensor) -> Tensor:
    """Largest value of each 2 x 2 block: [X, H, W, C] -> [X, H // 2, W // 2, C]."""
    num_examples, height, width, num_channels = features.shape
    height, width = height // 2, width // 2
    blocks = features[:, : 2 * height, : 2 * width].reshape(
        num_examples, height, 2, width, 2, num_channels
    )
    return blocks.amax((2, 4))
