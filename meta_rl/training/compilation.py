"""Compiling the meta-update where this machine can, and doing without where it cannot."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

_COMPILERS = ("c++", "g++", "clang++")


def compiled(
    function: Callable[..., Any],
    device: torch.device,
    note: Callable[[str], None],
    *,
    otherwise: Callable[..., Any],
) -> Callable[..., Any]:
    """Compiles a function of tensors, or does without and says so.

    Args:
        function: computes the same at every call, but for its tensors.
        device: where it will run; on a CPU a C++ compiler is needed.
        note: takes a line for the user.
        otherwise: the function in a form that needs no compiler.
    """
    if device.type == "cpu" and not any(map(shutil.which, _compilers())):
        note("There is no C++ compiler here: the meta-update runs uncompiled.")
        return otherwise
    fast = torch.compile(function, fullgraph=True)
    works: bool | None = None

    def call(*arguments: Any) -> Any:
        nonlocal works
        if works is None:
            note("Compiling the meta-update, which may take a minute.")
            try:
                result = fast(*arguments)
            except Exception as error:  # compilers fail in all kinds of ways
                works = False
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                note(f"The meta-update cannot be compiled and runs uncompiled: {reason}")
            else:
                works = True
                return result
        return fast(*arguments) if works else otherwise(*arguments)

    return call


def _compilers() -> tuple[str, ...]:
    chosen = os.environ.get("CXX")
    return (chosen,) if chosen else _COMPILERS
