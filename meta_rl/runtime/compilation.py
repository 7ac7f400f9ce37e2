"""Making the meta-update faster where this machine can, and doing without where it cannot."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from meta_rl.ops.cuda_graphs import CudaGraphs
from meta_rl.ops.tracing import Compiler

_COMPILERS = ("c++", "g++", "clang++")


def update_compiler(
    device: torch.device, *, compiled: bool, note: Callable[[str], None]
) -> Compiler | None:
    """What makes a run's meta-updates faster; None where they are traced and no more.

    On a GPU their kernels are launched together, compiled or not: many are smaller than a launch.

    Args:
        device: where they run.
        compiled: whether the settings ask for ``run.compile``.
        note: takes a line for the user.
    """
    compiler = TorchCompiler(device, note) if compiled else None
    return CudaGraphs(device, note, compiler) if device.type == "cuda" else compiler


class TorchCompiler:
    """Compiles functions of tensors, or does without and says so; each line is said once."""

    def __init__(self, device: torch.device, note: Callable[[str], None]) -> None:
        """Looks whether there is a compiler.

        Args:
            device: where the functions will run; on a CPU a C++ compiler is needed.
            note: takes a line for the user.
        """
        self._note, self._said = note, set[str]()
        self._available = device.type != "cpu" or any(map(shutil.which, _compilers()))

    def __call__(
        self, function: Callable[..., Any], *, otherwise: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """The function, compiled when it is first called.

        Args:
            function: computes the same at every call, but for its tensors.
            otherwise: the function in a form that needs no compiler, where it is not itself that.
        """
        uncompiled = otherwise or function
        if not self._available:
            self._say("There is no C++ compiler here: the meta-update runs uncompiled.")
            return uncompiled
        fast = torch.compile(function, fullgraph=True, dynamic=False)
        works: bool | None = None

        def call(*arguments: Any) -> Any:
            nonlocal works
            if works is None:
                self._say("Compiling the meta-update, which may take a minute.")
                try:
                    result = fast(*arguments)
                except Exception as error:  # compilers fail in all kinds of ways
                    works = False
                    reason = (str(error).splitlines() or [type(error).__name__])[0]
                    self._say(f"The meta-update cannot be compiled and runs uncompiled: {reason}")
                else:
                    works = True
                    return result
            return fast(*arguments) if works else uncompiled(*arguments)

        return call

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._note(line)


def _compilers() -> tuple[str, ...]:
    chosen = os.environ.get("CXX")
    return (chosen,) if chosen else _COMPILERS
