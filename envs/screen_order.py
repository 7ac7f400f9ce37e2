"""What has to be loaded before a screen is opened, in one process.

Mesa, which draws where no GPU does, loads an LLVM whose symbols everything loaded later sees
(RTLD_GLOBAL). triton's library exports those of an LLVM of its own: loaded after Mesa's, it calls
Mesa's functions and ends the process by a segmentation fault; loaded before, each calls its own.
PyTorch's CUDA builds come with triton, with or without a GPU, and import it when they first trace
a function.
"""

import importlib
from contextlib import suppress


def load_before_a_screen() -> None:
    """Load triton where it is installed; call this before a screen may be opened.

    It takes a fifth of a second, once, and does not import torch.
    """
    with suppress(ImportError):  # most often: it is not installed
        importlib.import_module("triton")
