"""The convolutional nets against torch's convolutions, and their size."""

import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from torch.testing import assert_close

from meta_rl.models.conv_classifier import ConvClassifier
from meta_rl.models.patches import extract_patches


def classifier(image_shape=(28, 28, 1), num_filters=6, **options) -> ConvClassifier:
    settings = {"architecture": "maml", "strided": True} | options
    generator = torch.Generator().manual_seed(0)
    return ConvClassifier(image_shape, num_filters, 5, **settings, generator=generator).double()


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_torch(network: ConvClassifier, image: torch.Tensor, average: bool) -> torch.Tensor:
    """The same with conv2d, batch_norm and max_pool2d."""
    features = image.permute(0, 3, 1, 2)
    for layer in range(4):
        bias = network.biases[layer] if len(network.biases) else None
        weight = network.weights[layer].permute(3, 2, 0, 1)
        stride = 2 if network.strided else 1
        features = functional.conv2d(features, weight, bias, stride=stride, padding=1)
        features = functional.batch_norm(
            features, None, None, network.scales[layer], network.shifts[layer], training=True
        ).relu()
        if not network.strided:
            features = functional.max_pool2d(features, 2)
    features = features.permute(0, 2, 3, 1)
    return network.head(features.mean((1, 2)) if average else features.flatten(1))


@pytest.mark.parametrize(
    ("image_shape", "architecture", "strided", "average"),
    [
        ((28, 28, 1), "maml", True, True),
        ((28, 28, 1), "reptile", True, False),
        ((13, 18, 3), "reptile", True, False),
        ((21, 37, 3), "maml", False, False),
        ((16, 16, 3), "reptile", False, False),
    ],
)
def test_equals_torch(image_shape, architecture, strided, average):
    network = classifier(image_shape, architecture=architecture, strided=strided)
    with torch.no_grad():  # so that scale and shift do something
        for number, param in enumerate((*network.scales, *network.shifts)):
            param.add_(0.1 * number * images(*param.shape))
    image = images(7, *image_shape)
    assert_close(network(image), by_torch(network, image, average), rtol=0, atol=1e-10)


def test_reptiles_net_has_as_many_parameters_as_its_browser_model():
    network = classifier(num_filters=64, architecture="reptile")
    assert sum(param.numel() for param in network.parameters()) == 113_221


@pytest.mark.parametrize("architecture", ["maml", "reptile"])
def test_vmap_over_per_task_weights_equals_a_loop(architecture):
    network = classifier(architecture=architecture)
    image = images(3, 4, 28, 28, 1)
    params = {
        name: torch.stack([value.detach() * factor for factor in (1.0, 0.7, 1.3)])
        for name, value in network.named_parameters()
    }
    batched = vmap(lambda p, x: functional_call(network, p, (x,)))(params, image)
    for task in range(3):
        single = functional_call(network, {n: p[task] for n, p in params.items()}, (image[task],))
        assert_close(batched[task], single, rtol=0, atol=1e-10)


def test_every_parameter_that_matters_receives_a_gradient():
    network = classifier(architecture="reptile")
    label = torch.tensor([0, 1, 2, 3])
    functional.cross_entropy(network(images(4, 28, 28, 1)), label).backward()
    for name, param in network.named_parameters():
        size = param.grad.abs().max()
        # A bias before the normalisation is subtracted again with the mean.
        assert (size < 1e-12) if name.startswith("biases") else (size > 1e-6), name


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(5, 4), (6, 7)])
def test_patches_and_their_derivatives(stride, size):
    image = images(2, *size, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: extract_patches(x, stride), image)
    assert torch.autograd.gradgradcheck(lambda x: extract_patches(x, stride).sin(), image)
    expected = functional.unfold(image.permute(0, 3, 1, 2), 3, padding=1, stride=stride)
    patch = extract_patches(image, stride)
    places = expected.unflatten(1, (3, 9)).permute(0, 3, 2, 1).flatten(2)
    assert_close(patch.flatten(1, 2), places)


def test_second_derivatives_of_patches_under_vmap():
    def loss(x):
        return extract_patches(x, 2).pow(3).sum()

    def curvature(x):
        return grad(lambda y: (grad(loss)(y) * x).sum())(x)

    image = images(3, 2, 5, 5, 2)
    batched = vmap(curvature)(image)
    for one, result in zip(image, batched, strict=True):
        assert_close(curvature(one), result, rtol=0, atol=1e-12)
