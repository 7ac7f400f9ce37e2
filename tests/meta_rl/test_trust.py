"""Opening a run that somebody else has made imports no module that it names."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.evaluation.packaged_runs import PACKAGED_RUNS
from meta_rl.launch.index import create_sweep
from meta_rl.launch.plan import make_plan
from meta_rl.launch.training_process import _arguments
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.trusted_runs import (
    UntrustedRunError,
    check_trusted,
    id_with_module,
    trust_run,
)
from meta_rl.training.jobs import start_run

ENVIRONMENT = """
import gymnasium, numpy as np, os

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
"""
SMALL = (
    *("env.id=strange:Strange-v0", "run.device=cpu", "run.meta_iterations=1"),
    *("rollout.horizon=3", "rollout.num_threads=1", "rollout.meta_batch_size=2"),
    *("evaluation.num_tasks=2", "evaluation.num_adaptation_steps=1"),
)


@pytest.fixture
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Counts how often the module of the environment was imported, in any process."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "strange.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setenv("WAS_IMPORTED", str(tmp_path / "was_imported"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def count() -> int:
        file = tmp_path / "was_imported"
        number = len(file.read_text()) if file.exists() else 0
        file.unlink(missing_ok=True)
        sys.modules.pop("strange", None)
        return number

    return count


@pytest.fixture
def run(tmp_path: Path, imports) -> Path:
    """A run that was started here."""
    path = tmp_path / "run"
    with single_torch_thread():
        start_run(load_config("smoke", [*SMALL, f"run.dir={path}"]), "run", Console(quiet=True))
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
        ["train", "foreign/checkpoints/iteration_000001/config.json"],
        ["sweep", "foreign/config.yaml", "run.seed=1..2"],
    ],
)
def test_no_command_imports_what_a_foreign_run_names(
    foreign: Path, imports, capsys: pytest.CaptureFixture[str], arguments: list[str]
):
    if "json" in arguments[1]:  # a file that is named on the command line is one of YAML
        (foreign / arguments[1].removeprefix("foreign/")).replace(
            foreign / "checkpoints" / "iteration_000001" / "config.yaml"
        )
        arguments = [arguments[0], arguments[1].replace("json", "yaml")]
    assert call(*arguments) == 1
    error = capsys.readouterr().err
    assert "foreign" in error and "strange:Strange-v0" in error and "--trust" in error
    assert error.startswith("Error: ") and error.count("\n") == 1
    assert imports() == 0


def test_a_run_is_trusted_once_and_its_own_never_has_to_be(foreign: Path, imports):
    assert call("evaluate", "run", "--out", "a") == 0
    assert imports() > 0
    assert call("evaluate", "foreign", "--out", "b") == 1
    assert imports() == 0
    assert call("evaluate", "foreign", "--trust", "--out", "b") == 0
    assert imports() > 0
    assert call("evaluate", "foreign", "--out", "c") == 0
    assert imports() > 0


def test_the_command_line_may_name_the_module(foreign: Path, imports):
    more = "run.meta_iterations=2"
    assert call("train", "--resume", "foreign", more, "env.id=strange:Strange-v0") == 0
    assert imports() > 0


def test_another_run_in_the_place_of_a_trusted_one_is_not_trusted(run: Path, imports):
    config = load_config(str(run / "config.yaml"))
    check_trusted(run, config)
    check_trusted(run / "checkpoints" / "iteration_000001", config)
    other = config.model_copy(
        update={"env": config.env.model_copy(update={"id": "other:Strange-v0"})}
    )
    with pytest.raises(UntrustedRunError, match="other:Strange-v0"):
        check_trusted(run, other)
    facts = (run / "run.json").read_text()
    for text in (facts.replace('"run_id": "', '"run_id": "0'), "[1]"):
        (run / "run.json").write_text(text)
        with pytest.raises(UntrustedRunError):
            check_trusted(run, config)


def test_a_users_own_file_is_the_users_word(run: Path, imports):
    shutil.copy(run / "config.yaml", "mine.yaml")
    assert call("train", "mine.yaml", "run.dir=new") == 0
    assert imports() > 0


def test_training_does_without_a_folder_of_states(
    tmp_path: Path, imports, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    config = load_config("smoke", [*SMALL, "run.dir=new"])
    with single_torch_thread():
        start_run(config, "new", Console(quiet=True))
    assert imports() > 0
    trust_run(Path("new"), config)
    with pytest.raises(UntrustedRunError):
        check_trusted(Path("new"), config)


def test_a_sweep_names_the_module_of_its_runs(tmp_path: Path):
    runs = create_sweep(tmp_path / "own", make_plan("smoke", [*SMALL, "run.seed=1..2"]))
    assert _arguments(runs[0])[-1] == 'env.id="strange:Strange-v0"'
    runs[0].path.mkdir()
    assert _arguments(runs[0]) == [
        *("--resume", str(runs[0].path)),
        'env.id="strange:Strange-v0"',
    ]
    plain = create_sweep(tmp_path / "plain", make_plan("smoke", ["run.seed=1..2"]))
    assert not any("env.id" in argument for argument in _arguments(plain[0]))


def test_no_policy_of_the_package_names_a_module():
    for path in PACKAGED_RUNS.glob("*/config.yaml"):
        assert id_with_module(load_config(str(path))) is None
