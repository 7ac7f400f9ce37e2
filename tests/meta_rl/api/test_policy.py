"""A policy in one's own program: it adapts as evaluation shows, and can be taken along."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

import meta_rl
from meta_rl.api.export import ExportError
from meta_rl.api.policy import PolicyError
from meta_rl.config import UntrustedRunError
from meta_rl.reading import SentenceError
from meta_rl.rollouts.environments import EnvironmentFault
from meta_rl.runs.best_checkpoint import CheckpointError

SETTINGS = {
    "evaluation.num_tasks": 2,
    "evaluation.episodes_per_task": 5,
    "evaluation.seed": 7,
    "evaluation.num_adaptation_steps": 3,
}


@pytest.fixture(scope="module")
def policy() -> meta_rl.Policy:
    return meta_rl.load("pretrained/navigation")


@pytest.fixture(scope="module")
def bandit(tmp_path_factory) -> meta_rl.Policy:
    """Of discrete actions, a normaliser and arms that are counted from zero."""
    path = tmp_path_factory.mktemp("runs") / "bandit"
    short = {
        "run.dir": str(path),
        "run.meta_iterations": 1,
        "run.meta_batch_size": 3,
        "run.device": "cpu",
        "evaluation.num_tasks": 2,
        "policy.normalise_observations": True,
    }
    result = meta_rl.train("bandit_maml", short, quiet=True)
    assert result.path == path
    assert "untrained" in result.curves
    return meta_rl.load(path)


def one_task() -> gymnasium.Env:
    env = gymnasium.make("Navigation2D-v0")
    env.unwrapped.set_task(np.array([0.3, -0.2]))
    return env


def episodes_of(policy: meta_rl.Policy, lengths: tuple[int, ...]) -> list[dict]:
    rng = np.random.default_rng(0)
    found = []
    for length in lengths:
        place, steps = np.zeros(2), []
        for _ in range(length):
            action = policy.act(place, deterministic=False, generator=rng)
            steps.append((place, action, -float(np.linalg.norm(place - 0.3))))
            place = place + action
        names = ("observation", "action", "reward")
        entries = map(np.array, zip(*steps, strict=True))
        found.append(dict(zip(names, entries, strict=True)))
    return found


def test_adapting_plays_what_an_evaluation_plays(policy):
    evaluated = meta_rl.evaluate("pretrained/navigation", SETTINGS)
    env = gymnasium.make("Navigation2D-v0")
    env.unwrapped.set_task(evaluated.curve.task[0])
    adapted = policy.adapt(env, num_steps=2, episodes_per_step=5, seed=7)
    # Another call goes on where the first was.
    again = adapted.adapt(env, num_steps=1, episodes_per_step=5, seed=7)
    assert again.num_steps == 3
    returns = [float(stage.episode_return.mean()) for stage in again.stages]
    np.testing.assert_allclose(returns, evaluated.curve.task_value[0, :3], rtol=1e-4)
    at_once = policy.adapt(env, num_steps=3, episodes_per_step=5, seed=7)
    for name, value in at_once.params.items():
        torch.testing.assert_close(value, again.params[name])
        # The standard deviation has reached its floor, below which nothing moves it.
        assert torch.equal(value, policy.params[name]) == (name == "log_std")
    assert policy.num_steps == 0


def test_actions_are_in_the_units_of_the_environment(policy):
    class Wide(gymnasium.ActionWrapper):
        def __init__(self):
            super().__init__(one_task())
            self.action_space = Box(np.float32([-2.0, 0.0]), np.float32([2.0, 1.0]))

        def action(self, action):
            return (action / [20.0, 5.0] - [0.0, 0.1]).astype(np.float32)

    wide = policy.adapt(Wide(), num_steps=1, episodes_per_step=3)
    usual = policy.adapt(one_task(), num_steps=1, episodes_per_step=3)
    observation = np.array([[0.01, 0.02], [-0.01, 0.03]])
    # The same policy learned from the same task.
    expected = usual.act(observation) * [20.0, 5.0] + [0.0, 0.5]
    np.testing.assert_allclose(wide.act(observation), expected, atol=1e-3)
    assert wide.act(observation[0]).shape == (2,)
    assert wide.action_space.contains(wide.act(observation[0]))
    assert wide.act(np.zeros((4, 3, 2)), deterministic=False).shape == (4, 3, 2)
    draws = [wide.act(np.zeros(2), False, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_recorded_episodes_adapt_like_played_ones(policy):
    played = policy.adapt(one_task(), num_steps=1, episodes_per_step=4)
    (stage,) = played.stages
    # The policy's actions, a tenth of which the environment moves by; some were clipped.
    clipped = np.clip(0.1 * stage.action[0].numpy(), -0.1, 0.1)
    recorded = [
        meta_rl.Episode(stage.observation[0, e], clipped[e], stage.reward[0, e]) for e in range(4)
    ]
    (same,) = policy.adapt_to(recorded).stages
    inside = (stage.action[0].abs() < 1.0).all(-1)
    assert inside.float().mean() > 0.1
    torch.testing.assert_close(same.action[0][inside], stage.action[0][inside])
    torch.testing.assert_close(
        same.log_prob[0][inside], stage.log_prob[0][inside], rtol=1e-3, atol=1e-3
    )
    assert bool(same.truncated[0, :, -1].all())


def test_episodes_of_different_lengths(policy):
    episodes = episodes_of(policy, (30, 7, 100))
    adapted = policy.adapt_to(episodes)
    (stage,) = adapted.stages
    assert stage.valid[0].sum(-1).tolist() == [30, 7, 100]
    # Padding repeats the last observation and counts for nothing.
    longer = {**episodes[1], "observation": np.concatenate([episodes[1]["observation"], [[5, 5]]])}
    (stage,) = policy.adapt_to([episodes[0], longer, episodes[2]]).stages
    assert stage.observation[0, 1, 99].tolist() == [5.0, 5.0]
    assert not np.array_equal(adapted.act([0.1, 0.1]), policy.act([0.1, 0.1]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"reward": []}, "the reward of episode 0 should be"),
        ({"observation": np.zeros((4, 3))}, "the observation of episode 0 should be of shape"),
        ({"action": np.zeros((3, 2))}, "the action of episode 0 should be of shape"),
        ({"reward": [0.0, 1.0, np.nan, 0.0]}, "not finite"),
        ({"reward": ["a"] * 4}, "should be an array of numbers"),
        ({"other": 1}, "an episode should have observation, action and reward"),
    ],
)
def test_episodes_that_do_not_fit(policy, change, sentence):
    (episode,) = episodes_of(policy, (4,))
    with pytest.raises(SentenceError, match=sentence):
        policy.adapt_to([{**episode, **change}])


def test_what_does_not_fit_is_one_sentence(policy, tmp_path):
    with pytest.raises(PolicyError, match="2 entries along its last axis"):
        policy.act(np.zeros(3))
    with pytest.raises(PolicyError, match="not finite"):
        policy.act([np.nan, 0.0])
    with pytest.raises(PolicyError, match="num_steps should be at least 1"):
        policy.adapt(one_task(), num_steps=0)
    with pytest.raises(EnvironmentFault, match="observations have 3 entries"):
        policy.adapt(gymnasium.make("Pendulum-v1"))
    with pytest.raises(SentenceError, match="no episodes"):
        policy.adapt_to([])
    with pytest.raises(ExportError, match=r"ends in \.pt2 or \.onnx"):
        policy.export(tmp_path / "policy.txt")
    with pytest.raises(ExportError, match="cannot be written"):
        policy.export(tmp_path / "nowhere" / "policy.pt2")
    with pytest.raises(CheckpointError, match="with the package come"):
        meta_rl.load("pretrained/nothing")


def test_a_saved_policy_goes_on_where_it_was(policy, tmp_path):
    adapted = policy.adapt(one_task(), num_steps=1, episodes_per_step=3)
    loaded = meta_rl.load(adapted.save(tmp_path / "adapted"))
    assert loaded.num_steps == 1
    observation = np.array([0.1, -0.1])
    np.testing.assert_array_equal(loaded.act(observation), adapted.act(observation))
    further = [p.adapt(one_task(), 1, 3) for p in (loaded, adapted)]
    np.testing.assert_array_equal(*(p.act(observation) for p in further))
    with pytest.raises(SentenceError, match="exists and is not overwritten"):
        adapted.save(tmp_path / "adapted")


def test_a_damaged_folder_is_one_sentence(policy, tmp_path):
    for name, content in (("policy.json", b"{}"), ("policy.safetensors", b"no tensors")):
        folder = policy.save(tmp_path / name)
        (folder / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=str(folder)):
            meta_rl.load(folder)


def test_a_saved_policy_of_a_stranger_imports_nothing(policy, tmp_path):
    folder = policy.save(tmp_path / "saved")
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"Navigation2D-v0"', '"a_module:Navigation2D-v0"'))
    with pytest.raises(UntrustedRunError, match="a_module"):
        meta_rl.load(folder)
    meta_rl.load(folder, trust=True)


def test_discrete_actions(bandit, tmp_path):
    env = gymnasium.make("Bandit-v0", num_arms=5, num_pulls=1)
    adapted = bandit.adapt(env, num_steps=2, episodes_per_step=6)
    action = adapted.act(np.ones(adapted.observation_size))
    assert env.action_space.contains(action)
    drawn = adapted.act(np.ones((200, adapted.observation_size)), deterministic=False)
    assert set(drawn.tolist()) == {0, 1, 2, 3, 4}
    loaded = meta_rl.load(adapted.save(tmp_path / "saved"))
    assert loaded.action_space == env.action_space
    assert loaded.act(np.ones(adapted.observation_size)) == action
    with pytest.raises(SentenceError, match="should be choices of"):
        bandit.adapt_to([meta_rl.Episode(np.ones((1, adapted.observation_size)), [5], [1.0])])


RUN_PT2 = """
import sys, numpy, torch
assert "meta_rl" not in sys.modules
act = torch.export.load("policy.pt2").module()
numpy.save("action.npy", act(torch.from_numpy(numpy.load("observation.npy"))).numpy())
"""
RUN_ONNX = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession("policy.onnx")
(action,) = session.run(["action"], {"observation": numpy.load("observation.npy")})
assert "torch" not in sys.modules
numpy.save("action.npy", action)
"""


@pytest.mark.parametrize(
    ("ending", "program"),
    [
        ("pt2", RUN_PT2),
        pytest.param("onnx", RUN_ONNX, marks=pytest.mark.needs("ONNX")),
    ],
)
@pytest.mark.parametrize("name", ["policy", "bandit"])
def test_an_exported_policy_acts_the_same_without_us(name, ending, program, request, tmp_path):
    given = request.getfixturevalue(name)
    if name == "policy":
        given = given.adapt(one_task(), num_steps=1, episodes_per_step=3)
    assert given.export(tmp_path / f"policy.{ending}") == tmp_path / f"policy.{ending}"
    for size in (1, 7):
        shape = (size, given.observation_size)
        observation = np.random.default_rng(1).normal(0.0, 0.05, shape).astype(np.float32)
        np.save(tmp_path / "observation.npy", observation)
        # Isolated from the folder and the environment, so that nothing of ours is found by chance.
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
        np.testing.assert_allclose(
            np.load(tmp_path / "action.npy"), given.act(observation), rtol=0.0, atol=1e-6
        )


def test_the_import_is_light():
    program = (
        "import sys, meta_rl; print(meta_rl.__version__); "
        "assert not {'torch', 'numpy', 'gymnasium'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        meta_rl.lode  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "meta_rl/api/README.md"])
def test_the_programs_of_the_pages_run(page, tmp_path):
    root = Path(__file__).parents[3]
    blocks = (root / page).read_text().split("```python\n")[1:]
    programs = [block.split("```")[0] for block in blocks]
    programs = [program for program in programs if "import meta_rl\n" in program]
    assert len(programs) == {"README.md": 1, "meta_rl/api/README.md": 3}[page]
    for program in programs:
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "policy.pt2").is_file()
