"""Opening a run that somebody else has made imports no module that it names."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from meta_rl.cli import app
from meta_rl.config import algorithm, load_config
from meta_rl.config.kinds import kind_of_run
from meta_rl.config.trust import check_modules
from meta_rl.evaluation.packaged_runs import PACKAGED_RUNS
from meta_rl.launch.index import create_sweep
from meta_rl.launch.plan import make_plan
from meta_rl.launch.training_process import _arguments
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import load_checkpoint
from meta_rl.runs.trusted_runs import (
    UntrustedRunError,
    modules_of,
    trust_run,
)
from meta_rl.training.jobs import start_run

MODULE = """
import gymnasium, numpy as np, os
from meta_rl.algorithms.maml_trpo import MamlTrpo

with open(os.environ["WAS_IMPORTED"], "a") as file:
    file.write("x")

class Strange(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(size=(num_tasks, 1))

    def set_task(self, task):
        self.goal = task[0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1.0, 1.0, 1).astype(np.float32)
        return self.position, {}

    def step(self, action):
        self.position = np.clip(self.position + 0.1 * action, -1.0, 1.0).astype(np.float32)
        return self.position, float(-abs(self.position[0] - self.goal)), False, False, {}

gymnasium.register("Strange-v0", Strange)

class Sly(MamlTrpo):
    pass
"""
SMALL = (
    *("run.device=cpu", "run.meta_iterations=1", "run.meta_batch_size=2"),
    *("rollout.horizon=3", "rollout.num_threads=1"),
    *("evaluation.num_tasks=2", "evaluation.num_adaptation_steps=1"),
)
NAMED = {
    "environment": "env.id=strange:Strange-v0",
    "algorithm": "algorithm.name=strange:Sly",
}


@pytest.fixture
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Counts how often the module was imported, in any process; then all is as in a new one."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "strange.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setenv("WAS_IMPORTED", str(tmp_path / "was_imported"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def count() -> int:
        file = tmp_path / "was_imported"
        number = len(file.read_text()) if file.exists() else 0
        file.unlink(missing_ok=True)
        sys.modules.pop("strange", None)
        algorithm.algorithm_class.cache_clear()
        kind_of_run.cache_clear()
        algorithm._allowed.clear()
        return number

    count()
    yield count
    count()


@pytest.fixture(params=NAMED)
def named(request: pytest.FixtureRequest) -> str:
    """The setting that names the module, as the command line has it."""
    return NAMED[request.param]


@pytest.fixture
def run(tmp_path: Path, imports, named: str) -> Path:
    """A run that was started here."""
    path = tmp_path / "run"
    config = load_config("smoke", [*SMALL, named, f"run.dir={path}"])
    with single_torch_thread():
        start_run(config, "run", Console(quiet=True))
    assert imports() > 0
    return path


@pytest.fixture
def foreign(run: Path, tmp_path: Path) -> Path:
    """The same run where it was not started."""
    shutil.copytree(run, tmp_path / "foreign")
    return tmp_path / "foreign"


def call(*arguments: object) -> int:
    """The command's exit status."""
    handlers = {number: signal.getsignal(number) for number in (2, 15, 1)}
    try:
        with single_torch_thread(), pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "foreign"],
        ["evaluate", "foreign/checkpoints/iteration_000001"],
        ["evaluate", "run", "--reference", "other=foreign"],
        ["visualize", "foreign", "--no-video"],
        ["report", "foreign"],
        ["train", "--resume", "foreign", "run.meta_iterations=2"],
        ["train", "foreign/config.yaml"],
        ["train", "extending.yaml"],
        ["train", "foreign/extending.yaml"],
        ["train", "foreign/checkpoints/iteration_000001/config.json"],
        ["sweep", "foreign/config.yaml", "run.seed=1..2"],
    ],
)
def test_no_command_imports_what_a_foreign_run_names(
    foreign: Path, imports, named: str, capsys: pytest.CaptureFixture[str], arguments: list[str]
):
    # Also where a file of the user extends one of the run, or one of the run a file elsewhere.
    Path("extending.yaml").write_text("extend: foreign/config.yaml")
    shutil.copy(foreign / "config.yaml", "elsewhere.yaml")
    (foreign / "extending.yaml").write_text("extend: ../elsewhere.yaml")
    if "json" in arguments[1]:  # a file that is named on the command line is one of YAML
        (foreign / arguments[1].removeprefix("foreign/")).replace(
            foreign / "checkpoints" / "iteration_000001" / "config.yaml"
        )
        arguments = [arguments[0], arguments[1].replace("json", "yaml")]
    module = named.partition("=")[2]
    is_beside_own = "--reference" in arguments
    if is_beside_own:  # which has imported what both name
        for file in (foreign / "config.yaml", *foreign.glob("checkpoints/*/config.json")):
            file.write_text(file.read_text().replace(module, f"more_{module}"))
        module = f"more_{module}"
    assert call(*arguments) == 1
    error = capsys.readouterr().err
    assert "foreign" in error and module in error and "--trust" in error
    assert error.startswith("Error: ") and error.count("\n") == 1
    assert is_beside_own or imports() == 0


def test_a_run_is_trusted_once_and_its_own_never_has_to_be(foreign: Path, imports):
    assert call("evaluate", "run", "--out", "a") == 0
    assert imports() > 0
    assert call("evaluate", "foreign", "--out", "b") == 1
    assert imports() == 0
    assert call("evaluate", "foreign", "--trust", "--out", "b") == 0
    assert imports() > 0
    assert call("evaluate", "foreign", "--out", "c") == 0
    assert imports() > 0


@pytest.mark.parametrize("arguments", [["--resume", "foreign"], ["foreign/config.yaml"]])
def test_training_goes_on_with_the_users_word(foreign: Path, imports, arguments: list[str]):
    more = "run.meta_iterations=2"
    assert call("train", *arguments, more) == 1
    assert imports() == 0
    assert call("train", *arguments, more, "--trust") == 0
    assert imports() > 0


def test_the_command_line_may_name_the_module(foreign: Path, imports, named: str):
    assert call("train", "--resume", "foreign", "run.meta_iterations=2", named) == 0
    assert imports() > 0


def test_settings_of_a_foreign_run_can_be_shown_where_that_imports_nothing(
    foreign: Path, imports, named: str
):
    status = call("train", "foreign/config.yaml", "--print-config")
    assert status == (0 if named.startswith("env.id") else 1)
    assert imports() == 0


def test_a_checkpoint_is_read_without_its_algorithm(foreign: Path, imports, named: str):
    """Whatever config.yaml says: a checkpoint has settings of its own."""
    (foreign / "config.yaml").write_text("env: {id: Navigation2D-v0}")
    if named.startswith("algorithm"):
        with pytest.raises(UntrustedRunError, match="strange:Sly"):
            load_checkpoint(foreign)
    else:
        assert load_checkpoint(foreign).config.env.id == "strange:Strange-v0"
    assert imports() == 0


def test_another_run_in_the_place_of_a_trusted_one_is_not_trusted(run: Path, imports, named: str):
    name, module = named.split("=")
    check_modules(run, {name: module})
    check_modules(run / "checkpoints" / "iteration_000001", {name: module})
    with pytest.raises(UntrustedRunError, match="other:Strange"):
        check_modules(run, {name: "other:Strange"})
    facts = (run / "run.json").read_text()
    for text in (facts.replace('"run_id": "', '"run_id": "0'), "[1]"):
        (run / "run.json").write_text(text)
        with pytest.raises(UntrustedRunError):
            check_modules(run, {name: module})


def test_a_users_own_file_is_the_users_word(run: Path, imports):
    shutil.copy(run / "config.yaml", "mine.yaml")
    assert call("train", "mine.yaml", "run.dir=new") == 0
    assert imports() > 0


def test_training_does_without_a_folder_of_states(
    tmp_path: Path, imports, named: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    config = load_config("smoke", [*SMALL, named, "run.dir=new"])
    with single_torch_thread():
        start_run(config, "new", Console(quiet=True))
    assert imports() > 0
    trust_run(Path("new"), config)
    with pytest.raises(UntrustedRunError):
        check_modules(Path("new"), modules_of(config))


def test_a_sweep_names_the_module_of_its_runs(tmp_path: Path, imports, named: str):
    runs = create_sweep(tmp_path / "own", make_plan("smoke", [*SMALL, named, "run.seed=1..2"]))
    imports()
    name, module = named.split("=")
    assert _arguments(runs[0])[-1] == f'{name}="{module}"'
    runs[0].path.mkdir()
    assert _arguments(runs[0]) == ["--resume", str(runs[0].path), f'{name}="{module}"']
    assert imports() == 0
    plain = create_sweep(tmp_path / "plain", make_plan("smoke", ["run.seed=1..2"]))
    assert len(_arguments(plain[0])) == 2


def test_no_policy_of_the_package_names_a_module():
    for path in PACKAGED_RUNS.glob("*/config.yaml"):
        assert not modules_of(load_config(str(path)))
