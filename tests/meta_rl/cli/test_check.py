"""``meta-rl check``, and what ``train`` says of an environment before it trains on it."""

import csv
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meta_rl.cli import app
from meta_rl.rollouts.sampler import single_torch_thread

CHECKOUT = Path(__file__).parents[3]
SETTINGS = """
env: {id: "misbehaving:Misbehaving-v0"}
policy: {hidden_sizes: [8]}
rollout: {meta_batch_size: 3, episodes_per_task: 4, horizon: 20, num_threads: 1}
evaluation: {every: 1, num_tasks: 6, episodes_per_task: 4, num_adaptation_steps: 1}
run: {meta_iterations: 2, device: cpu}
"""


@pytest.fixture(autouse=True)
def _user(tmp_path, monkeypatch):
    """The folder in which a user works."""
    monkeypatch.syspath_prepend(str(CHECKOUT / "tests" / "envs"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(SETTINGS)


def command(capsys, *arguments) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command in this process."""
    with single_torch_thread(), pytest.raises(SystemExit) as ended:
        app(list(arguments))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def options(**values) -> str:
    return f"env.options={json.dumps(values)}"


def train(capsys, name: str, *settings) -> tuple[int, str, str]:
    return command(
        capsys, "train", "my.yaml", f"env.id=misbehaving:{name}-v0", "run.dir=run", *settings
    )


def test_an_id_a_preset_and_a_file_can_be_checked(capsys):
    for arguments, env_id in (
        (["misbehaving:Misbehaving-v0"], "misbehaving:Misbehaving-v0"),
        (["navigation"], "Navigation2D-v0"),
        (["my.yaml", options(where="reward", how="one")], "misbehaving:Misbehaving-v0"),
    ):
        assert command(capsys, "check", *arguments) == (
            0,
            f"{env_id} can be trained on: nothing to mend.\n",
            "",
        )


def test_errors_and_warnings_are_told_apart(capsys):
    status, out, err = command(capsys, "check", "my.yaml", options(where="reward", how="None"))
    assert (status, out) == (1, "")
    assert err.startswith("Error: step returned None as reward; it should be one number (misbehav")
    status, out, err = command(capsys, "check", "my.yaml", options(where="numpy"))
    assert (status, out) == (0, "misbehaving:Misbehaving-v0 can be trained on: 1 warning.\n")
    assert err.startswith("Warning: step uses the global generator of numpy.random")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "check needs an environment's id, a preset or a YAML file first"),
        (["sine"], "sine has no environment to check, but data"),
        (["nowhere:Env-v0"], "the module nowhere cannot be found"),
        (["Unheard-v0"], "Unheard-v0 is not a registered environment"),
        (["misbehaving:Misbehaving-v0", "rollout.horizn=3"], "rollout.horizn"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(capsys, arguments, told):
    status, out, err = command(capsys, "check", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("Error: ")
    assert told in err
    assert err.count("\n") == 1


def test_training_refuses_what_it_would_trip_over_and_leaves_nothing(capsys, tmp_path):
    for name, told in (
        ("NormalizeReward", "NormalizeReward keeps running statistics"),
        ("NormalizeObservation", "policy.normalise_observations=true"),
        ("NoGenerator", "sample_tasks should take (num_tasks, rng), not (num_tasks)"),
    ):
        status, _, err = train(capsys, name)
        assert status == 1
        assert told in err
        assert err.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_training_warns_of_what_makes_it_hard_to_repeat_once_and_goes_on(capsys):
    status, out, err = train(capsys, "Misbehaving", options(where="counter"))
    assert status == 0, err
    assert "Run directory: run" in out.replace("\n", " ")
    assert err.count("Warning: Misbehaving-v0: a second episode with the same seed, task") == 1
    assert err.count("\n") == 1


def test_other_ranks_do_not_repeat_what_the_first_says(capsys, monkeypatch):
    command(capsys, "check", "navigation")
    for rank, told in (("0", "Warning: a word\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        logging.getLogger("envs").warning("a word")
        assert capsys.readouterr().err == told


def test_episodes_end_at_the_smaller_limit_and_train(capsys, tmp_path):
    status, _, err = train(capsys, "Short")
    assert status == 0, err
    assert "episodes end after 5 steps, the max_episode_steps of its registration" in err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    # Two iterations of 3 tasks, 4 episodes, 2 adaptation steps and 5 steps each.
    assert json.loads(lines[-1])["env_steps"] == 2 * 3 * 4 * 2 * 5
    assert "train_success_rate" not in json.loads(lines[-1])


def test_success_is_recorded(capsys, tmp_path):
    status, _, err = train(
        capsys, "Misbehaving", "rollout.horizon=3", options(where="info", how="success")
    )
    assert status == 0, err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["train_success_rate"] for line in lines] == [[1.0, 1.0]] * 2
    (tmp_path / "run").rename(tmp_path / "first")
    status, _, _ = train(
        capsys, "Misbehaving", "rollout.horizon=2", options(where="info", how="success")
    )
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["train_success_rate"] == [0.0, 0.0]


def test_the_final_tasks_are_those_that_training_never_draws(capsys, tmp_path):
    status, _, err = train(capsys, "Listed", options(test=[[1], [4]]))
    assert status == 0, err
    with (tmp_path / "run" / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    drawn = {
        split: {float(row["index"]) for row in rows if row["split"] == split}
        for split in ("validation", "test")
    }
    assert drawn["test"] == {1.0, 4.0}
    assert drawn["validation"] <= {0.0, 2.0, 3.0}


def meta_rl(*arguments, **environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meta_rl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_folder_called_envs_does_not_hide_ours(tmp_path):
    folder = tmp_path / "envs"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('the wrong envs')\n")
    (folder / "mine.py").write_text("")
    (tmp_path / "random.py").write_text("raise RuntimeError('the wrong random')\n")
    result = meta_rl("check", "navigation", PYTHONPATH=str(CHECKOUT))
    assert (result.returncode, result.stderr) == (0, "")

    result = meta_rl("check", "envs.mine:Mine-v0", PYTHONPATH=str(CHECKOUT))
    assert result.returncode == 1
    assert "the module envs.mine cannot be found: `envs` is the package" in result.stderr
    assert result.stderr.count("\n") == 1

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.rename(elsewhere / "envs")
    result = meta_rl(
        "check", "navigation", PYTHONPATH=os.pathsep.join([str(elsewhere), str(CHECKOUT)])
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: another `envs` ({elsewhere / 'envs' / '__init__.py'})")
    assert result.stderr.count("\n") == 1
