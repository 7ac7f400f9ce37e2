"""Policies brought to one evaluation, and evaluated in environments that are used again."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meta_rl.config import ConfigError, load_config
from meta_rl.evaluation import evaluator as evaluator_module
from meta_rl.evaluation.comparison import (
    ComparisonError,
    as_reference,
    check_comparable,
    check_distinct,
    differing_settings,
)
from meta_rl.evaluation.evaluator import Evaluator, evaluate_model
from meta_rl.evaluation.saved_model import (
    SavedModel,
    untrained_model,
    with_settings,
)
from meta_rl.rollouts.sampler import single_torch_thread

TASKS = np.array([[0.1, 0.2], [0.3, -0.4], [0.0, 0.5]])


def saved(*overrides: str, path: str = "run") -> SavedModel:
    config = load_config("smoke", ["run.device=cpu", "rollout.num_threads=1", *overrides])
    return SavedModel(Path(path), 3, {}, config)


def test_settings_are_replaced_and_checked():
    policy = saved()
    changed = with_settings(
        policy, {"evaluation.num_tasks": 9, "adaptation.inner_step_size": 0.25}, "options"
    )
    assert changed.config.evaluation.num_tasks == 9
    assert changed.config.adaptation.inner_step_size == 0.25
    assert changed.config.env == policy.config.env
    assert policy.config.evaluation.num_tasks == 3
    with pytest.raises(ConfigError, match=r"evaluation.num_tasks .* \[options\]"):
        with_settings(policy, {"evaluation.num_tasks": -1}, "options")


def test_a_reference_is_evaluated_like_the_runs():
    like = saved("evaluation.num_adaptation_steps=5", "evaluation.seed=4").config
    own = ("evaluation.num_tasks=30", "adaptation.inner_step_size=0.3", "run.seed=8")
    reference = as_reference(saved(*own), like).config
    assert reference.evaluation == like.evaluation
    assert reference.adaptation.inner_step_size == 0.3
    assert reference.run.seed == 8
    oracle = as_reference(saved(*own, "evaluation.num_adaptation_steps=0"), like).config
    assert oracle.evaluation.num_adaptation_steps == 0
    assert oracle.evaluation.num_tasks == like.evaluation.num_tasks


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("env.id=HalfCheetahVel-v0", "their env.id is Navigation2D-v0 and HalfCheetahVel-v0"),
        ("env.options={a: 1}", "their env.options is {} and {'a': 1}"),
        ("rollout.horizon=11", "their rollout.horizon is 10 and 11"),
    ],
)
def test_other_environments_are_refused(override, part):
    with pytest.raises(ComparisonError, match=f"run and other cannot be compared: {part}"):
        check_comparable([saved(), saved(), saved(override, path="other")])


def test_an_oracle_and_other_settings_of_training_can_be_compared():
    check_comparable([saved(), saved("env.observe_task=true", "rollout.episodes_per_task=9")])


def test_one_run_is_not_two(tmp_path: Path):
    check_distinct([saved(path="a"), saved(path="b")])
    with pytest.raises(ComparisonError, match="is named twice"):
        check_distinct([saved(path="a"), saved(path="b"), saved(path="b/../a")])


def test_differing_settings_are_those_of_training():
    policies = [
        saved("run.seed=1", "evaluation.every=1"),
        saved("run.seed=2", "run.meta_iterations=9"),
    ]
    assert differing_settings(policies) == []
    policies.append(saved("policy.init_std=0.5", "adaptation.multi_step=true"))
    assert differing_settings(policies) == ["policy.init_std", "adaptation.multi_step"]


def test_an_environment_is_used_again_where_it_fits_and_changes_nothing(monkeypatch):
    made = []
    make_env = evaluator_module.make_env

    def make(*arguments):
        made.append(make_env(*arguments))
        return made[-1]

    monkeypatch.setattr(evaluator_module, "make_env", make)
    first = untrained_model(saved("run.seed=1"))
    second = untrained_model(saved("run.seed=2", "adaptation.inner_step_size=0.1"))
    oracle = untrained_model(saved("env.observe_task=true"))
    with single_torch_thread(), closing(Evaluator(TASKS)) as evaluator:
        evaluated = [evaluator.evaluate(policy) for policy in (first, second, oracle, first)]
        shared = list(made)
        alone = [evaluate_model(policy, TASKS) for policy in (first, second, oracle, first)]
    assert len(shared) == 3, "the first two share one"
    assert [env.single_observation_space.shape for env in shared] == [(2,), (4,), (2,)]
    for mine, expected in zip(evaluated, alone, strict=True):
        assert np.array_equal(mine.curve.value, expected.curve.value)
        assert np.array_equal(mine.env_steps, expected.env_steps)
    assert evaluated[1].step_sizes == pytest.approx([0.1, 0.05, 0.05])


def test_the_untrained_model_is_what_the_seed_gives():
    one, again, other = (untrained_model(saved(f"run.seed={seed}")) for seed in (1, 1, 2))
    assert one.meta_iteration == 0
    name = next(name for name in one.params if name.endswith("weight"))
    assert (one.params[name] == again.params[name]).all()
    assert (one.params[name] != other.params[name]).any()
    assert replace(one, params={}) == replace(saved("run.seed=1"), meta_iteration=0)
