"""The command as users meet it: real processes, real signals, a real terminal, and mistakes."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meta_rl.cli import app
from meta_rl.config import load_config
from meta_rl.rollouts.sampler import single_torch_thread
from meta_rl.runs.checkpoint import find_checkpoints, load_checkpoint
from meta_rl.runs.run_directory import open_run_directory

CHECKOUT = Path(__file__).parents[3]
TRAIN = [sys.executable, "-m", "meta_rl", "train"]
NUM_ITERATIONS = 16

# A user's module. Each environment counts its steps: an iteration takes twice ten of them.
POINT = """
import gymnasium
import numpy as np
import time


class Point(gymnasium.Env):
    task_parameter_names = ("goal",)

    def __init__(self, speed=1.0):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = gymnasium.spaces.Box(-0.5, 0.5, (1,), np.float32)
        self.speed, self.num_steps = speed, 0

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(0.0, 1.0, size=(num_tasks, 1))

    def set_task(self, task):
        (self.goal,) = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=1)
        return self.position.copy(), {}

    def step(self, action):
        self.num_steps += 1
        self.position = self.position + self.speed * action
        reward = -abs(self.position[0] - self.goal)
        # FAULT
        return self.position.copy(), reward, bool(reward > -0.01), False, {}


gymnasium.register("Point-v0", Point)
"""
FAULTS = {
    "raises": "if self.num_steps > 50: raise ZeroDivisionError('no power')",
    "hangs": "if self.num_steps > 50: time.sleep(600)",
    "nan": "if self.num_steps > 50: reward = np.nan",
}
SETTINGS = """
env:
  id: pointing:Point-v0
  options: {speed: 0.5}
policy: {hidden_sizes: [8]}
rollout: {meta_batch_size: 3, episodes_per_task: 4, horizon: 10, num_threads: 2, step_timeout: 20}
evaluation: {every: 10, num_tasks: 3, episodes_per_task: 4}
run: {device: cpu, checkpoint_every: 10}
"""


def environment(folder: Path | None = None) -> dict[str, str]:
    """Variables of a child process, which finds the package and the modules of ``folder``."""
    path = os.pathsep.join(map(str, [CHECKOUT, folder] if folder else [CHECKOUT]))
    # One thread each: on a busy machine, the threads of small products wait for each other.
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}


def train(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(folder),
    )


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The command in this process: exit status, stdout, stderr."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with single_torch_thread(), pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    shown = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


def assert_one_sentence(code: int, err: str, *parts: str) -> None:
    assert code == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def numbers(run: Path) -> tuple[object, ...]:
    """All numbers of a run but those of a clock."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: x for name, x in line.items() if "second" not in name} for line in lines]
    last = find_checkpoints(run)[-1]
    files = (run / "evaluation.csv", run / "best.json", last / "model.safetensors")
    return metrics, last.name, *(file.read_bytes() for file in files)


def contents(run: Path) -> dict[str, bytes]:
    files = [file for file in run.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file): file.read_bytes() for file in files}


def assert_nobody_is_left(session: int) -> None:
    """No process of the session that a child process led goes on after it."""
    deadline = time.monotonic() + 5
    while left := [pid for pid in processes() if session_of(pid) == session]:
        assert time.monotonic() < deadline, f"processes {left} go on"
        time.sleep(0.05)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished run, which nobody writes again, and what its command said."""
    path = tmp_path_factory.mktemp("cli") / "smoke run [x]"
    return path, train("smoke", f"run.dir={path}")


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> tuple[Path, Path]:
    """A user's folder with an environment and settings, and the run that they gave."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "pointing.py").write_text(POINT)
    (folder / "point.yaml").write_text(SETTINGS)
    path = folder / "run"
    overrides = (f"run.dir={path}", f"run.meta_iterations={NUM_ITERATIONS}")
    result = train(folder / "point.yaml", *overrides, folder=folder)
    assert (result.returncode, result.stderr) == (0, "")
    return folder, path


# What works


def test_training_prints_plain_lines_the_curve_and_the_path(smoke):
    path, result = smoke
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"Training Navigation2D-v0 on {load_device(path)} in {path}"
    assert [line.split()[0] for line in lines if "steps/s" in line] == ["1/4", "2/4", "3/4", "4/4"]
    assert sum("validation tasks" in line for line in lines) == 2
    assert any("Return on held-out tasks" in line for line in lines[-12:])
    assert [line.split()[1] for line in lines if line.startswith("│")] == ["0", "1", "2", "3"]
    assert lines[-1] == f"Run directory: {path}"
    assert "\x1b" not in result.stdout
    assert {entry.name for entry in path.iterdir()} == {
        *("config.yaml", "run.json", "metrics.jsonl", "evaluation.csv", "best.json"),
        *("checkpoints", ".lock"),
    }


def load_device(path: Path) -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def test_a_users_environment_trains_from_a_settings_file(user):
    _, path = user
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == NUM_ITERATIONS
    assert load_config(str(path / "config.yaml")).env.options == {"speed": 0.5}
    header = (path / "evaluation.csv").read_text().splitlines()[0]
    assert "task_index,goal,adaptation_step" in header


def test_resume_goes_on(smoke, tmp_path: Path):
    path, _ = smoke
    part = tmp_path / "part"
    train("smoke", f"run.dir={part}", "run.meta_iterations=2")
    result = train("--resume", part, "run.meta_iterations=4")
    assert (result.returncode, result.stderr) == (0, "")
    assert "3/4" in result.stdout
    assert "2/4" not in result.stdout
    assert result.stdout.endswith(f"Run directory: {part}\n")
    assert numbers(part) == numbers(path)
    assert len(json.loads((part / "run.json").read_text())["resumed"]) == 1


def test_printed_settings_can_be_loaded_again(tmp_path: Path):
    overrides = ("rollout.horizon=17", "env.options={a: [1, x]}", "run.seed=3")
    first = train("navigation", *overrides, "--print-config")
    assert (first.returncode, first.stderr) == (0, "")
    file = tmp_path / "printed.yaml"
    file.write_text(first.stdout)
    assert load_config(str(file)) == load_config("navigation", overrides)
    again = train(file, "--print-config")
    assert again.stdout == first.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["printed.yaml"]


def test_printed_settings_of_a_run(smoke, capsys):
    path, _ = smoke
    code, out, _ = call(capsys, "train", "--resume", path, "--print-config", "run.seed=9")
    assert code == 0
    assert "seed: 9" in out


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_help(arguments):
    command = [sys.executable, "-m", "meta_rl", *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Meta-train" in result.stdout
    if "train" in arguments:
        for name in ("CONFIG", "--resume", "--print-config"):
            assert name in result.stdout


OPTIONS = {
    "train": {"arguments", "--resume", "--print-config", "--trust"},
    "check": {"arguments"},
    "report": {
        *("runs", "--out", "--force", "--reference", "--num-tasks", "--steps", "--device"),
        "--trust",
    },
    "sweep": {"arguments", "--jobs", "--dir", "--slurm", "--slurm-option", "--trust"},
    "evaluate": {
        *("runs", "--num-tasks", "--steps", "--episodes", "--step-size"),
        *("--later-step-size-ratio", "--seed", "--device", "--grid", "--tasks-file"),
        *("--reference", "--out", "--trust"),
    },
    "visualize": {
        *("run", "--tasks", "--num-tasks", "--steps", "--seed", "--device", "--out"),
        *("--video", "--gif", "--beside", "--trust"),
    },
}


def test_the_commands_and_options_are_these_and_no_more():
    import typer

    commands = typer.main.get_command(app).commands
    assert {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in commands.items()
    } == OPTIONS


def test_a_terminal_shows_a_live_table(tmp_path: Path):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 150, 0, 0))
    variables = {**environment(), "TERM": "xterm-256color"}
    del variables["COLUMNS"]
    process = subprocess.Popen(
        [*TRAIN, "smoke", f"run.dir={tmp_path / 'run'}"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=variables,
        start_new_session=True,
    )
    os.close(slave)
    shown = b"".join(chunks(master))
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert b"\x1b[" in shown
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    for part in ("env steps/s", "s sampling | adapting | updating", "4/4", "validation tasks"):
        assert part in text
    assert text.rstrip().endswith(f"Run directory: {tmp_path / 'run'}")
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h"), "the cursor comes back"


def chunks(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux says so where the other end is closed
            return
        if not chunk:
            return
        yield chunk


def test_wandb_offline_and_resumed(tmp_path: Path):
    path = tmp_path / "run"
    result = train("smoke", f"run.dir={path}", "run.wandb=offline", "run.meta_iterations=1")
    assert (result.returncode, result.stderr) == (0, "")
    assert "switched off" not in result.stdout
    result = train("--resume", path, "run.meta_iterations=2")
    assert (result.returncode, result.stderr) == (0, "")
    run_id = (path / "wandb_run_id.txt").read_text().strip()
    runs = list((path / "wandb").glob("offline-run-*/*.wandb"))
    assert [run.name for run in runs] == [f"run-{run_id}.wandb"] * 2
    lines = (path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["meta_iteration"] for line in lines] == [1, 2]
    tables = [file.name for file in path.glob("wandb/offline-run-*/files/media/table/*.json")]
    assert sum(name.startswith("test_curve") for name in tables) == 2


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["smoke", "rollout.horizn=3"], ["rollout.horizn", "did you mean rollout.horizon?"]),
        (["smoke", "rolout.horizon=3"], ["rolout is not a setting; did you mean rollout?"]),
        (["smoke", "rollout.horizon=ten"], ["rollout.horizon should be an integer", '"ten"']),
        (["smoke", "rollout.gae_lambda=2"], ["should be less than or equal to 1, but is 2"]),
        (["smoke", "run.device=gpu"], ["run.device", "did you mean cpu?"]),
        (
            ["smoke", "rollout.horizon=5", "meta_update.curvature_stride=6"],
            ["curvature_stride (6) should not be greater than rollout.horizon (5)"],
        ),
        (["smok"], ["neither a preset nor a file called 'smok'; did you mean smoke?"]),
        (["absent.yaml"], ["absent.yaml cannot be read: No such file"]),
        ([], ["train needs a CONFIG first", "navigation"]),
        (["run.seed=1"], ["train needs a CONFIG first"]),
        (["smoke", "run.seed"], ["'run.seed' should have the form section.key=value"]),
    ],
)
def test_mistakes_in_settings(capsys, arguments, parts):
    code, out, err = call(capsys, "train", *arguments)
    assert_one_sentence(code, err, *parts)
    assert out == ""


def test_every_problem_has_a_line_of_its_own():
    result = train("smoke", "run.seed=-1", "rollout.horizn=2", "run.device=gpu")
    assert (result.returncode, result.stdout) == (1, "")
    first, *problems = result.stderr.splitlines()
    assert first == "Error: the configuration has 3 problems:"
    assert [problem.split()[1] for problem in sorted(problems)] == [
        *("rollout.horizn", "run.device", "run.seed")
    ]


@pytest.mark.parametrize(
    "arguments", [["trian", "smoke"], ["train", "smoke", "--resmue"], ["train", "--resume"]]
)
def test_mistakes_in_the_command(capsys, arguments):
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    assert "Error" in err


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("env.id=Navigation3D-v0", ["not a registered environment", "Navigation2D-v0"]),
        ("env.id=nowhere:A-v0", ["the module nowhere cannot be found"]),
        ("env.id=Pendulum-v1", ["no method sample_tasks"]),
        ("env.id=CartPole-v1", ["no method sample_tasks"]),
        ("env.options.speed=2", ["Navigation2D-v0 has no option 'speed'"]),
    ],
)
def test_mistakes_about_environments(capsys, tmp_path: Path, override, parts):
    code, _, err = call(capsys, "train", "smoke", f"run.dir={tmp_path / 'run'}", override)
    assert_one_sentence(code, err, *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.needs("no GPU")
def test_cuda_without_a_gpu(capsys, tmp_path: Path):
    path = tmp_path / "run"
    code, _, err = call(capsys, "train", "smoke", "run.device=cuda", f"run.dir={path}")
    assert_one_sentence(code, err, "run.device=cuda, but torch finds no CUDA device")
    assert not path.exists()


def test_a_run_directory_that_exists_or_cannot_be_made(capsys, smoke, tmp_path: Path):
    path, _ = smoke
    before = contents(path)
    code, _, err = call(capsys, "train", "smoke", f"run.dir={path}")
    assert_one_sentence(code, err, str(path), "exists and is not overwritten", "--resume")
    assert contents(path) == before
    file = tmp_path / "file"
    file.touch()
    code, _, err = call(capsys, "train", "smoke", f"run.dir={file / 'run'}")
    assert_one_sentence(code, err, "cannot be made: Not a directory")


def test_what_cannot_be_resumed(capsys, smoke, tmp_path: Path):
    path, _ = smoke
    before = contents(path)
    for arguments, parts in (
        ([tmp_path], [f"{tmp_path} is not a run directory"]),
        ([tmp_path / "absent"], ["is not a run directory"]),
        ([path, "policy.hidden_sizes=[8]"], ["trained with another policy.hidden_sizes: [16]"]),
        ([path, "run.meta_iterations=3"], ["run.meta_iterations (3) should be greater than the 4"]),
        ([path, f"run.dir={tmp_path / 'new'}"], ["run.dir cannot be changed"]),
        ([path, "smoke"], ["'smoke' should have the form section.key=value"]),
    ):
        code, _, err = call(capsys, "train", "--resume", *arguments)
        assert_one_sentence(code, err, *parts)
    assert contents(path) == before


def test_damaged_checkpoints(capsys, tmp_path: Path):
    path = tmp_path / "run"
    options = (f"run.dir={path}", "run.meta_iterations=2")
    assert call(capsys, "train", "smoke", *options)[0] == 0
    newest = find_checkpoints(path)[-1] / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:50])
    code, out, err = call(capsys, "train", "--resume", path)
    assert (code, err) == (0, "")
    assert f"passed over a damaged checkpoint: {newest} is truncated" in out
    for checkpoint in find_checkpoints(path):
        (checkpoint / "trainer.pt").write_bytes(b"PK")
    code, _, err = call(capsys, "train", "--resume", path)
    assert_one_sentence(code, err, "none of the 2 checkpoints", "can be read")


def test_two_processes_on_one_run_directory(smoke):
    path, _ = smoke
    with open_run_directory(path):
        before = contents(path)
        result = train("--resume", path, "run.meta_iterations=5")
        assert_one_sentence(
            result.returncode, result.stderr, f"is being written by process {os.getpid()}"
        )
        assert contents(path) == before


@pytest.mark.parametrize(
    ("fault", "overrides", "parts"),
    [
        ("raises", [], ["ZeroDivisionError: no power (pointing.py:", "task (goal=0."]),
        ("hangs", ["rollout.step_timeout=3"], ["did not answer step within 3 s", "(goal=0."]),
        ("nan", [], ["a non-finite reward", "task (goal=0.", "nan"]),
    ],
)
def test_a_users_environment_that_fails_and_is_repaired(
    user, tmp_path: Path, fault, overrides, parts
):
    whole = user[1]
    module, path = tmp_path / "pointing.py", tmp_path / "run"
    module.write_text(POINT.replace("# FAULT", FAULTS[fault]))
    settings = tmp_path / "point.yaml"
    settings.write_text(SETTINGS)
    overrides = [f"run.dir={path}", f"run.meta_iterations={NUM_ITERATIONS}", *overrides]
    result = train(settings, *overrides, folder=tmp_path)
    assert_one_sentence(result.returncode, result.stderr, *parts)
    last_line = result.stdout.splitlines()[-1]
    assert last_line == f"Stopped. Resume with: meta-rl train --resume {path}"
    # The 51st step is in the third iteration.
    assert load_checkpoint(path).meta_iteration == 2
    module.write_text(POINT)
    result = train("--resume", path, folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert numbers(path) == numbers(whole)


# Signals


def stop_after_the_third_iteration(
    command: list[str], send, folder: Path | None = None
) -> tuple[int, str, str]:
    """Starts a long training and interrupts it: exit status, stdout, stderr."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(folder),
        start_new_session=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("3/"):
            send(process.pid)
            break
    out, err = process.communicate(timeout=60)
    assert_nobody_is_left(process.pid)
    return process.returncode, "".join(lines) + out, err


@pytest.mark.parametrize(
    ("number", "send"),
    [
        # The terminal sends Ctrl-C to the whole group, a scheduler SIGTERM to every process.
        (signal.SIGINT, lambda pid: os.killpg(pid, signal.SIGINT)),
        (signal.SIGTERM, lambda pid: os.killpg(pid, signal.SIGTERM)),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_saves_and_resuming_changes_nothing(user, tmp_path: Path, number, send):
    folder, whole = user
    path = tmp_path / "run"
    command = [*TRAIN, str(folder / "point.yaml"), f"run.dir={path}", "run.meta_iterations=9999"]
    code, out, err = stop_after_the_third_iteration(command, send, folder)
    assert code == 128 + number
    assert err == ""
    assert out.splitlines()[-1] == f"Stopped. Resume with: meta-rl train --resume {path}"
    assert 2 <= load_checkpoint(path).meta_iteration < NUM_ITERATIONS
    result = train("--resume", path, f"run.meta_iterations={NUM_ITERATIONS}", folder=folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert numbers(path) == numbers(whole)


def test_signals_after_the_first_do_not_keep_it_from_saving(tmp_path: Path):
    def send(pid: int) -> None:
        for _ in range(5):
            os.killpg(pid, signal.SIGINT)
            time.sleep(0.01)

    path = tmp_path / "run"
    overrides = ["env.id=HalfCheetahVel-v0", "run.meta_iterations=9999", f"run.dir={path}"]
    code, out, err = stop_after_the_third_iteration([*TRAIN, "smoke", *overrides], send)
    assert (code, err) == (130, "")
    assert "Stopped." in out
    assert load_checkpoint(path).meta_iteration >= 2
    assert not list((path / "checkpoints").glob(".*"))
