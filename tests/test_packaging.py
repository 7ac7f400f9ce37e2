"""What a user installs holds everything that the commands need."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import meta_rl

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_presets_of_the_checkout_are_found():
    from meta_rl.config import preset_names

    assert preset_names() == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    assert "navigation" in preset_names()


def test_importing_the_package_is_light():
    code = "import sys, meta_rl; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_every_script_can_be_run_and_parsed():
    scripts = [
        path for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix == ""
    ]
    for script in [*scripts, ROOT / ".ci" / "run"]:
        assert script.stat().st_mode & 0o111, f"{script} is not executable"
        assert script.read_text().startswith("#!/usr/bin/env "), script
        if "bash" in script.read_text().splitlines()[0]:
            subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_wheel_holds_both_packages_and_the_presets(tmp_path: Path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"meta_rl-{meta_rl.__version__}-")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"meta_rl-{meta_rl.__version__}.dist-info/METADATA").decode()
        entry_points = archive.read(f"meta_rl-{meta_rl.__version__}.dist-info/entry_points.txt")
        archive.extractall(tmp_path / "installed")
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"meta_rl", "envs"}
    assert "meta_rl/configs/navigation.yaml" in names
    page = ROOT / "meta_rl" / "reporting" / "report" / "page"
    assert {f"meta_rl/reporting/report/page/{path.name}" for path in page.iterdir()} <= set(names)
    packaged = ROOT / "meta_rl" / "pretrained"
    files = [path for path in packaged.rglob("*") if path.is_file()]
    assert {str(path.relative_to(ROOT)) for path in files} <= set(names)
    assert "envs/__init__.py" in names
    assert "Requires-Dist: torch<2.14,>=2.11" in metadata
    assert b"meta-rl = meta_rl.cli:main" in entry_points
    code = (
        "from meta_rl.config import load_config; print(load_config('smoke').env.id);"
        "from pathlib import Path;"
        "from meta_rl.evaluation.packaged_runs import find_run;"
        "print(find_run(Path('pretrained/navigation')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
    )
    run = tmp_path / "installed" / "meta_rl" / "pretrained" / "navigation"
    assert loaded.stdout == f"Navigation2D-v0\n{run}\n"
