"""Which settings give a task too few steps for the baseline's features, and what is said then."""

from contextlib import closing

import pytest

from meta_rl.config import Config, load_config, preset_names
from meta_rl.problems.baseline_note import evaluation_note, training_note
from meta_rl.rollouts.environments import make_env

RL_PRESETS = [name for name in preset_names() if isinstance(load_config(name), Config)]


def notes(config, size):
    return training_note(config, size), evaluation_note(config, size)


@pytest.mark.parametrize("preset", RL_PRESETS)
def test_every_preset_has_steps_enough(preset):
    config = load_config(preset, ["rollout.num_threads=1"])
    with closing(make_env(config, num_tasks=1, num_episodes=1)) as env:
        assert notes(config, env.single_observation_space.shape[0]) == (None, None)


def settings(*overrides):
    return load_config("smoke", ["rollout.horizon=20", *overrides])


def test_the_sentence_names_all_numbers_and_the_way_out():
    # 2 * 39 + 4 = 82 features; three times as many steps are 246, or 13 episodes of 20.
    training, evaluation = notes(settings(), 39)
    assert training == (
        "rollout.episodes_per_task=4 with rollout.horizon=20 gives 80 steps per task, too few for "
        "the 82 features of the linear baseline: it uses the time alone, and observations from "
        "246 steps on (rollout.episodes_per_task=13)."
    )
    assert evaluation == training.replace("rollout.episodes", "evaluation.episodes")
    enough = settings("rollout.episodes_per_task=13", "evaluation.episodes_per_task=12")
    training, evaluation = notes(enough, 39)
    assert training is None
    assert "gives 240 steps" in evaluation


def test_without_adapting_an_evaluation_needs_no_baseline():
    training, evaluation = notes(settings("evaluation.num_adaptation_steps=0"), 39)
    assert training is not None
    assert evaluation is None
