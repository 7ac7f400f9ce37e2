"""Every page in a folder: its links lead somewhere, and its commands are understood or run."""

import argparse
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.config.grid import expand_grid

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / ".github").glob("*.md")]
    + [
        page
        for room in ("configs", "envs", "meta_rl", "scripts", "tests")
        for page in (ROOT / room).rglob("*.md")
    ]
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_programs(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link may name on a page, as GitHub makes it of the headings."""
    text = without_programs(page)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "`", without_programs(page)))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path):
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_picture_has_a_description(page: Path):
    text = without_programs(page)
    assert text.count("![") == len(re.findall(r"!\[[^\]]{20,}\]\(", text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_is_there(page: Path):
    for name in re.findall(r"`((?:envs|scripts|tests|meta_rl|configs)/[\w/.]*)`", page.read_text()):
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


def test_every_room_with_a_page_is_linked_from_the_first_one():
    first = (ROOT / "README.md").read_text()
    for page in PAGES[1:]:
        assert f"({name_of(page)}" in first or page == ROOT / "README.md", name_of(page)


def commands(page: Path) -> Iterator[str]:
    """The lines of code blocks that are no program, without comments, joined where they go on."""
    text = re.sub(r" \\\n +", " ", without_programs(page))
    for line in re.findall(r"^ {4}(\S.*)$", text, flags=re.MULTILINE):
        yield from (shlex.join(shlex.split(part, comments=True)) for part in line.split(" && "))


COMMANDS = sorted({(name_of(page), command) for page in PAGES for command in commands(page)})
# A command that matches none of these is run. The first that matches counts.
NOT_RUN = {
    r"^python3 -m venv|pip install": "changes the machine",
    r"\bruns/|\bsweeps/|\bmy\.yaml": "needs a run or a file of the reader's",
    r"my_module|MyAlgorithm": "is a sketch; tests/test_contributing.py runs whole ones",
    r"^scripts/(setup|train|test)|^META_RL|check_gpu": "installs, and works for minutes",
    r"^torchrun": "trains for minutes; tests/meta_rl/runtime/test_ranks.py trains less",
    r"meta-rl sweep": "trains for minutes; tests/meta_rl/cli/test_sweep.py trains less",
    r"few_shot\.path=": "needs a data set",
    r"meta-rl train (?!.*--print-config)": "trains for minutes",
    r"scripts/\w+\.py (?!--check)": "measures for minutes to hours",
    r"scripts/(benchmark|plot_results|fill_tables|reproduce)\w*\.py$": "changes results or pages",
    r"(evaluate|visualize) pretrained/": "plays for a minute; tests/test_packaged_runs.py less",
    r"my_environment|my_algorithm": "is run by tests/test_contributing.py",
}


def reason_not_to_run(command: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, command)), None)


def test_every_reason_not_to_run_is_needed():
    for pattern in NOT_RUN:
        assert any(re.search(pattern, command) for _, command in COMMANDS), pattern


class Understood(BaseException):
    """Raised after a command line was parsed."""


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_is_understood(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program == "torchrun":
        understand_meta_rl(arguments[arguments.index("meta_rl") + 1 :], tmp_path)
    elif program == "meta-rl":
        understand_meta_rl(arguments, tmp_path)
    elif program == "python":
        understand_script(ROOT / arguments[0], arguments[1:], monkeypatch)
    elif program == "scripts/check_gpu":
        understand_script(ROOT / "scripts" / "gpu_check" / "main.py", arguments, monkeypatch)
    elif program.startswith("scripts/"):
        subprocess.run(["bash", "-n", ROOT / program], check=True)
    else:
        assert reason_not_to_run(command) == "changes the machine", page


def understand_meta_rl(arguments: list[str], folder: Path) -> None:
    """Parses a command line of ours, and its settings where they are a preset's or the page's."""
    command = typer.main.get_command(app)
    params = command.commands[arguments[0]].make_context(arguments[0], arguments[1:]).params
    if arguments[0] not in ("train", "sweep") or params.get("resume"):
        return
    config, *settings = params["arguments"]
    if config.endswith(".yaml"):
        text = (ROOT / "configs" / "README.md").read_text()
        (folder / config).write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
        config = str(folder / config)
    if "algorithm.name=" in " ".join(settings):
        return  # reader's code
    for point in expand_grid(settings) if arguments[0] == "sweep" else []:
        load_config(config, point.overrides)
    if arguments[0] == "train":
        load_config(config, settings)


def understand_script(script: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_alone(self: argparse.ArgumentParser) -> argparse.Namespace:
        parse(self)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_alone)
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    with pytest.raises((Understood, SystemExit)) as ended:
        runpy.run_path(str(script), run_name="__main__")
    # --help ends with 0.
    assert ended.type is Understood or ended.value.code == 0


QUICK = [(page, command) for page, command in COMMANDS if reason_not_to_run(command) is None]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), QUICK)
def test_a_quick_command_runs(page: str, command: str, tmp_path: Path):
    code = re.search(
        r"```python\n(# my_pendulum.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )[1]
    (tmp_path / "my_pendulum.py").write_text(code)
    program, *arguments = shlex.split(command)
    if program.endswith("python"):
        arguments[0] = str(ROOT / arguments[0])
    else:
        arguments = ["-m", "meta_rl", *arguments]
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )
    assert result.returncode == 0, (page, result.stdout, result.stderr)
