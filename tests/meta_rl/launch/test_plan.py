"""Plans: every run is checked, and has a name that is safe, readable and its own."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_rl.config import ConfigError, load_config
from meta_rl.launch.plan import make_plan, run_names


def test_a_plan_holds_what_each_run_would_load():
    plan = make_plan("smoke", ["run.seed=1..2", "adaptation.inner_step_size=0.05,0.1"])
    assert [run.name for run in plan.runs] == [
        *("seed1-inner_step_size0.05", "seed1-inner_step_size0.1"),
        *("seed2-inner_step_size0.05", "seed2-inner_step_size0.1"),
    ]
    last = load_config("smoke", ["run.seed=2", "adaptation.inner_step_size=0.1"])
    assert plan.runs[-1].config == last


def test_a_sweep_over_nothing_is_one_run():
    (run,) = make_plan("smoke", []).runs
    assert run.name == "run"


def test_every_problem_of_every_run_is_told_once():
    with pytest.raises(ConfigError) as caught:
        make_plan("smoke", ["run.seed=-1,0,-2", "rollout.horizn=5", "run.device=cpu,gpu"])
    assert sorted(problem.split()[0] for problem in caught.value.args) == [
        *("rollout.horizn", "run.device", "run.seed", "run.seed")
    ]


def test_a_contradiction_in_one_combination_is_found():
    arguments = ["meta_update.curvature_stride=1,8", "rollout.horizon=5,10"]
    with pytest.raises(ConfigError, match=r"curvature_stride \(8\) should not be greater than"):
        make_plan("smoke", arguments)


def test_two_spellings_of_one_value_are_one_run_too_many():
    with pytest.raises(ConfigError, match="have the same settings"):
        make_plan("smoke", ["adaptation.inner_step_size=0.1,0.10"])


def test_the_folder_of_a_run_is_not_a_setting_of_a_sweep():
    with pytest.raises(ConfigError, match=r"run\.dir cannot be set in a sweep"):
        make_plan("smoke", ["run.dir=x,y"])


def test_the_default_folder_belongs_to_the_settings():
    def path(*arguments: str) -> Path:
        return make_plan("smoke", arguments).default_path

    assert path("run.seed=1..2") == path("run.seed=1,2")
    assert path("run.seed=1..2") != path("run.seed=1..3")
    assert path("run.seed=1..2").parts[0] == "sweeps"


def test_threads_that_the_user_sets_are_known():
    assert not make_plan("smoke", ["run.seed=1,2"]).sets_num_threads
    assert make_plan("smoke", ["rollout.num_threads=0"]).sets_num_threads


def test_a_name_says_which_setting_where_the_last_part_would_not():
    varied = [{"rollout.episodes_per_task": "4", "evaluation.episodes_per_task": "5"}]
    assert run_names(varied) == ["rollout.episodes_per_task4-evaluation.episodes_per_task5"]
    assert run_names([{"policy.hidden_sizes": "[64,64]"}]) == ["hidden_sizes64_64"]


def test_values_that_look_alike_have_different_names():
    names = run_names([{"env.id": value} for value in ("A/v0", "A:v0", "a:v0", "B-v0")])
    assert len({name.lower() for name in names}) == 4
    assert names[3] == "idB-v0"


@given(st.lists(st.text(), min_size=1, max_size=4, unique=True))
def test_names_are_safe_and_different(values):
    names = run_names([{"env.options.a": value, "run.seed": "1"} for value in values])
    assert len({name.lower() for name in names}) == len(values)
    for name in names:
        assert Path(name).name == name
        assert name.isascii()
        assert "=" not in name
        assert not name.startswith((".", "-"))
        assert len(name) < 120
