"""Which device the mathematics runs on."""

import numpy as np
import torch

from meta_rl.reading import SentenceError

# Measured on two CPU cores: activations of so many steps of a 100 x 100 policy stay in the cache.
CPU_STEPS_PER_CHUNK = 8_000


class DeviceError(SentenceError):
    """The device that was asked for is not there."""


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """``auto`` takes a GPU where there is one, and products there are of full single precision.

    Args:
        name: ``auto``, ``cpu`` or ``cuda``.
        local_rank: which of several processes on this machine asks; each takes a GPU of its own.

    Raises:
        DeviceError: CUDA was asked for and is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "run.device=cuda, but torch finds no CUDA device here; use run.device=auto or cpu"
        )
    if name == "cpu":
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise DeviceError(
            f"there are {torch.cuda.device_count()} CUDA devices here, too few for a process with "
            f"local rank {local_rank}; start fewer processes, or use run.device=cpu"
        )
    use_full_precision()
    return torch.device("cuda", local_rank)


def use_full_precision() -> None:
    """No TF32: its three digits would cost conjugate gradient its residual, and the line search.

    Whatever an environment variable or a program around this one has chosen. ``run.json`` records
    what is in force.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def steps_per_chunk(device: torch.device) -> int:
    """How many steps are differentiated at once: what fits the cache, or all on a GPU."""
    return CPU_STEPS_PER_CHUNK if device.type == "cpu" else int(np.iinfo(np.int64).max)
