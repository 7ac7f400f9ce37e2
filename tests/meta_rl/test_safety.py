"""Files that a user did not write run nothing, and a run talks to nobody."""

import multiprocessing
import os
from pathlib import Path

import pytest

from meta_rl.config import ConfigError, load_config
from meta_rl.rollouts.environments import make_env

TAGS = ("python/object/apply:pathlib.Path.touch", "python/object/new:pathlib.Path")


@pytest.mark.parametrize("tag", TAGS)
def test_yaml_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str):
    monkeypatch.chdir(tmp_path)
    value = f"!!{tag} [was_run]"
    file = tmp_path / "settings.yaml"
    for text in (f"env:\n  id: {value}\n", f"env:\n  id: a\n  options: {{x: {value}}}\n"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="is not valid YAML: could not determine"):
            load_config(str(file))
    with pytest.raises(ConfigError, match="is not valid YAML: could not determine"):
        load_config("smoke", [f"env.id={value}"])
    assert [path.name for path in tmp_path.iterdir()] == ["settings.yaml"]


ENVIRONMENT = """
import gymnasium, numpy as np

class Still(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def sample_tasks(self, num_tasks, rng):
        return rng.uniform(size=(num_tasks, 1))

    def set_task(self, task):
        pass

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}

gymnasium.register("Still-v0", Still)
"""


def sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(descriptor))
        except FileNotFoundError:  # the descriptor of this very listing
            continue
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:")}


def network_sockets(pid: int) -> set[str]:
    """Inodes of all sockets of the internet protocols that a process can see."""
    files = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6", "udp", "udp6")]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()[1:]]
    return {line.split()[9] for line in lines}


@pytest.mark.needs("Linux")
def test_no_process_of_a_run_has_a_network_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "still.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = sockets_of(os.getpid())  # of the test's own machinery
    env = make_env(load_config("smoke", ["env.id=still:Still-v0", "rollout.num_threads=2"]), 2, 2)
    try:
        workers = [process.pid for process in multiprocessing.active_children()]
        assert len(workers) == 3  # two that step, and one that draws tasks
        for pid in (os.getpid(), *filter(None, workers)):
            assert not (sockets_of(pid) - before) & network_sockets(pid)
    finally:
        env.close()
