"""An environment beside the machine's own Python, whose torch it uses."""

import site
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-gpu"
OLDEST_TORCH = (2, 11)
PROVIDED = {"torch", "numpy", "matplotlib", "safetensors"}
"""What a machine with a GPU has."""
IMPORTED_WHEN_USED = {"wandb", "av"}
"""What this check does not use."""
FOR_THE_TESTS = ("pytest>=8", "pytest-timeout>=2.3")
# One module of each kind of requirement, to see whether anything must be installed.
_MODULES = "mujoco.batch, gymnasium, pydantic, typer, rich, yaml, PIL, pytest_timeout"


class SetupError(RuntimeError):
    """The check cannot run here; the message is one sentence."""


def needed_requirements() -> list[str]:
    """What such a machine lacks, pinned to the versions that are installed beside this program.

    All that this project's requirements lead to, but for what it leads to by way of torch, numpy,
    matplotlib and safetensors alone.
    """
    from importlib.metadata import distribution

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    versions: dict[str, str] = {}

    def walk(requirement: Requirement) -> None:
        name = canonicalize_name(requirement.name)
        if name in versions or name in PROVIDED | IMPORTED_WHEN_USED:
            return
        found = distribution(name)
        versions[name] = found.version
        extras = requirement.extras or {""}
        for text in found.requires or []:
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                walk(needed)

    for text in direct_requirements():
        walk(Requirement(text))
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def direct_requirements() -> Iterator[str]:
    """The requirements of ``pyproject.toml`` and of the tests, as they are stated there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield from (*project["dependencies"], *FOR_THE_TESTS)


def check_torch(*, needs_gpu: bool) -> dict[str, str]:
    """Versions and GPU of the machine's own torch.

    Raises:
        SetupError: there is no torch, it is too old, or it finds no GPU.
    """
    try:
        import torch
    except ImportError as error:
        raise SetupError(f"{sys.executable} cannot import torch: {error}") from None
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST_TORCH:
        raise SetupError(f"torch 2.11 or newer is needed, but this is {torch.__version__}")
    if needs_gpu and not torch.cuda.is_available():
        raise SetupError(
            f"torch {torch.__version__} finds no CUDA device here; --dry-run needs none"
        )
    facts = {"python": sys.version.split()[0], "torch": torch.__version__}
    if torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
        facts["num_gpus"] = str(torch.cuda.device_count())
    return facts


def make_environment(wheels: Path | None) -> str:
    """Returns a Python that has all that is needed: this one, or one in a new environment.

    Args:
        wheels: a folder to install from, all of it and without a network; None asks pip's index.

    Raises:
        SetupError: something cannot be installed.
    """
    if wheels is None and _has_everything(sys.executable):
        return sys.executable
    if wheels is not None and not list(wheels.glob("*.whl")):
        raise SetupError(f"there are no wheels in {wheels}")
    venv.EnvBuilder(system_site_packages=True, clear=True, with_pip=False).create(FOLDER)
    python = str(FOLDER / "bin" / "python")
    # An environment of an environment sees the packages of neither but through this.
    mine = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    (their_site,) = FOLDER.glob("lib/python*/site-packages")
    (their_site / "machine.pth").write_text("".join(f"{path}\n" for path in sorted(mine)))
    if _run(python, "-m", "pip", "--version"):
        _install_or_fail(python, "-m", "ensurepip")
    options = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile")
    if wheels is not None:
        files = sorted(str(path) for path in wheels.glob("*.whl"))
        _install_or_fail(python, *options, "--no-index", "--no-deps", *files)
    else:
        _install_or_fail(python, *options, "--constraint", _installed_torch(), *_lacking())
    problem = _run(python, "-c", f"import torch, {_MODULES}")
    if problem:
        raise SetupError(f"something is still missing: {problem}")
    return python


def _lacking() -> list[str]:
    return [
        text
        for text in direct_requirements()
        if not any(text.startswith(name) for name in PROVIDED | IMPORTED_WHEN_USED)
    ]


def _installed_torch() -> str:
    import torch

    path = FOLDER / "torch.txt"
    path.write_text(f"torch=={torch.__version__}\n")
    return str(path)


def _has_everything(python: str) -> bool:
    return not _run(python, "-c", f"import torch, {_MODULES}")


def _install_or_fail(python: str, *arguments: str) -> None:
    problem = _run(python, *arguments)
    if problem:
        raise SetupError(f"the environment cannot be made: {problem}")


def _run(python: str, *arguments: str) -> str:
    """The last line of what went wrong, or ''."""
    result = subprocess.run(
        [python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode == 0:
        return ""
    lines = (result.stderr or result.stdout).strip().splitlines()
    return lines[-1] if lines else f"status {result.returncode}"
