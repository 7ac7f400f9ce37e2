"""The contributor's page is followed: its files are written as it says, its commands are run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "meta_rl" / "README.md"
SMALL = (
    *("run.meta_iterations=2", "run.meta_batch_size=4", "run.device=cpu"),
    *("rollout.episodes_per_task=4", "evaluation.num_tasks=3", "evaluation.episodes_per_task=3"),
)


def part(heading: str) -> str:
    """The page from one heading to the next."""
    return PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def write_file(heading: str, folder: Path) -> None:
    code = re.search(r"```python\n(.*?)```", part(heading), re.DOTALL)[1]
    name = re.match(r"# (\w+\.py)\n", code)[1]
    (folder / name).write_text(code)


def commands(heading: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^    (meta-rl .*)$", part(heading), re.M)]


def run(command: list[str], folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meta_rl", *command[1:], *more],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PAGE.parents[1]), "OMP_NUM_THREADS": "1"}
        | {"HOME": str(folder)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("heading", ["An algorithm", "An environment"])
def test_what_the_page_says_works(heading: str, tmp_path: Path):
    write_file(heading, tmp_path)
    for command in commands(heading):
        trains = command[1] == "train" and "--print-config" not in command
        result = run(command, tmp_path, *(SMALL if trains else ()))
        assert result.returncode == 0, (command, result.stdout, result.stderr)


@pytest.mark.slow
def test_the_algorithm_of_the_page_is_trained_resumed_and_evaluated(tmp_path: Path):
    write_file("An algorithm", tmp_path)
    trained = ["meta-rl", "train", "smoke", "algorithm.name=my_algorithm:Reinforce", *SMALL]
    for command in (
        [*trained, "run.dir=run"],
        ["meta-rl", "train", "--resume", "run", "run.meta_iterations=3"],
        ["meta-rl", "evaluate", "run", "--num-tasks", "2"],
    ):
        result = run(command, tmp_path)
        assert result.returncode == 0, (command, result.stdout, result.stderr)


def test_the_files_that_the_page_names_are_there():
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE.read_text()):
        root = PAGE.parents[1] if name.startswith("envs/") else PAGE.parent
        assert (root / name).is_file(), name
