"""Continuous integration tries what the project says that it supports."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_workflow_runs_every_check_on_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    (command,) = [step["run"] for step in job["steps"] if "scripts/test" in step.get("run", "")]
    assert command.startswith("scripts/test --cov")


def test_the_workflow_installs_a_torch_that_the_package_accepts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = [line for line in project["dependencies"] if line.startswith("torch")]
    assert f'"{torch}"' in (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert f'"torch{torch[torch.index("<") :]}"' in (ROOT / "README.md").read_text()
