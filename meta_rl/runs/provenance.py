"""What a run's numbers depend on besides its settings: versions, commit and hardware."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import meta_rl

_LIBRARIES = ("gymnasium", "mujoco", "numpy")


def describe_process() -> dict[str, Any]:
    """Describes this process, for ``run.json``."""
    import torch  # takes seconds, which those who only look at run directories should not pay

    return {
        "start_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command_line": sys.argv,
        "git": _git_state(Path(meta_rl.__file__).parent),
        "versions": {
            "python": platform.python_version(),
            "meta_rl": meta_rl.__version__,
            # PyPI's package of torch is 2.13.0, which does not say that its build is 2.13.0+cu130.
            "torch": str(torch.__version__),
            **{library: version(library) for library in _LIBRARIES},
        },
        "hardware": {
            "cpu": _cpu_model(),
            "num_cpus": os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        # "highest" is full single precision; anything else allows a GPU to use TF32.
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _git_state(package: Path) -> dict[str, Any] | None:
    """Returns the commit of the checkout that holds the package, or None if none does."""
    # A package installed inside somebody's checkout is not part of it: git must track its files.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return {
        "commit": _git(package, "rev-parse", "HEAD"),
        "dirty": bool(_git(package, "status", "--porcelain", "--untracked-files=no")),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
