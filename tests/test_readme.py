"""The README says what the result files say."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(name: str) -> str:
    return README.split(f"<!-- {name} -->")[1].split(f"<!-- end of {name} -->")[0].strip()


def test_the_results_table_is_the_scripts():
    assert section("results") == script("reproduce_maml_rl").table()


def test_the_benchmark_table_is_the_scripts():
    assert section("benchmark") == script("benchmark").table()


def test_the_table_of_a_gpu_is_the_scripts():
    from gpu_check.table import table

    assert section("gpu") == table()


def test_the_supervised_benchmark_is_the_scripts():
    assert section("supervised benchmark") == script("benchmark_supervised").table()


def test_the_supervised_tables_are_the_scripts():
    assert section("supervised") == script("reproduce_supervised").table()


def test_the_table_of_choices_is_the_scripts():
    assert section("choices") == script("measure_choices").table()


SUPERVISED = ROOT / "scripts" / "results" / "supervised"


def test_the_table_of_ranks_is_the_scripts():
    assert section("ranks") == script("benchmark_ranks").table()


@pytest.mark.parametrize("file", sorted(SUPERVISED.glob("*.json")))
def test_every_supervised_result_says_where_it_comes_from(file: Path):
    for run in json.loads(file.read_text())["runs"].values():
        assert run["git"]["commit"]
        assert run["hardware"]["cpu"]
        assert "/" not in run["command"].partition(" ")[2]


# But for the oracle, which sees the task.
UNKNOWN = sorted(set(SUPERVISED.glob("sine*.json")) - {SUPERVISED / "sine_oracle.json"})


@pytest.mark.parametrize("file", UNKNOWN)
def test_no_sinusoid_is_known_before_adapting(file: Path):
    """Without the task, 3.006 is the best there is for phases up to pi."""
    for run in json.loads(file.read_text())["runs"].values():
        for curve in run["curves"].values():
            assert curve["loss"]["mean"][0] > 3.0 - curve["loss"]["interval"][0]


RESULTS = ROOT / "scripts" / "results"


@pytest.mark.parametrize("file", sorted((RESULTS / "adaptation").glob("*.json")))
def test_every_adaptation_result_is_small_and_can_be_repeated(file: Path):
    assert file.stat().st_size < 100_000
    for seed, run in json.loads(file.read_text())["runs"].items():
        assert f"--seeds {seed}" in run["command"]
        assert "/" not in run["command"].partition(" ")[2]
        assert len(run["task_return"]) == 40
        learning = run.get("learning", {})
        assert len({len(values) for values in learning.values()}) <= 1
        assert learning.get("env_steps", []) == sorted(learning.get("env_steps", []))


@pytest.mark.parametrize(
    "file", [*sorted(RESULTS.glob("*.json")), *sorted((RESULTS / "adaptation").glob("*.json"))]
)
def test_every_result_says_where_it_comes_from(file: Path):
    results = json.loads(file.read_text())
    for run in results["runs"].values() if "runs" in results else [results["machine"]]:
        assert run["git"]["commit"]
        assert run["hardware"]["cpu"]
        assert run["versions"]["mujoco"]


def test_the_pictures_are_there_small_and_say_where_they_come_from():
    pictures = re.findall(r"!\[[^\]]{20,}\]\(([^)]+)\)", README)
    assert len(pictures) == README.count("![") >= 3, "each has a description"
    for picture in pictures:
        limit = 1_000_000 if picture.endswith(".gif") else 200_000
        assert 5_000 < (ROOT / picture).stat().st_size < limit
    for run in json.loads((ROOT / "scripts/results/pictures/sources.json").read_text()).values():
        assert run["git"]["commit"] and run["tasks"]


def test_every_file_and_preset_that_the_readme_names_exists():
    for preset in (ROOT / "configs").glob("*.yaml"):
        assert f"`{preset.stem}`" in README
    for path in ("scripts/train", "scripts/test", "envs/task_env.py", "meta_rl/cli/"):
        assert path in README
        assert (ROOT / path).exists()
