"""Which device the mathematics runs on."""

import torch


class DeviceError(ValueError):
    """The device that was asked for is not there."""


def resolve_device(name: str) -> torch.device:
    """``auto`` takes a GPU where there is one.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DeviceError: CUDA was asked for and is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "run.device=cuda, but torch finds no CUDA device here; use run.device=auto or cpu"
        )
    return torch.device(name)
