"""Settings: what is refused, how it is reported, and that what is written can be read back."""

import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meta_rl.config import (
    Config,
    ConfigError,
    Effect,
    SupervisedConfig,
    config_from_mapping,
    config_to_yaml,
    load_config,
    preset_names,
)
from meta_rl.config.kinds import fields_of, setting_names
from meta_rl.config.layers import Layer, file_layers, merged
from meta_rl.config.replaced_algorithm import merged_for_present_algorithm
from meta_rl.config.section import MAX_COUNT
from meta_rl.reading.numbers import MAX_INTEGER

PRESETS = [
    "bandit_maml",
    "half_cheetah_dir",
    "half_cheetah_dir_oracle",
    "half_cheetah_dir_pretrained",
    "half_cheetah_dir_rllab",
    "half_cheetah_dir_rllab_oracle",
    "half_cheetah_dir_rllab_pretrained",
    "half_cheetah_vel",
    "half_cheetah_vel_oracle",
    "half_cheetah_vel_pretrained",
    "half_cheetah_vel_promp",
    "half_cheetah_vel_rllab",
    "half_cheetah_vel_rllab_oracle",
    "half_cheetah_vel_rllab_pretrained",
    "navigation",
    "navigation_oracle",
    "navigation_pretrained",
    "navigation_promp",
    "smoke",
]
KIND = type(load_config("navigation"))
KINDS = {name: field.annotation.__name__ for name, field in KIND.model_fields.items()}
MINIMAL = {"env": {"id": "Navigation2D-v0"}}


@pytest.fixture
def write(tmp_path: Path):
    def write_yaml(text: str | bytes) -> str:
        path = tmp_path / "settings.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write_yaml


def problems_of(config: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(config, overrides)
    return list(caught.value.args)


def test_importing_the_settings_does_not_import_torch():
    code = "import sys, meta_rl.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_presets():
    configs = {name: load_config(name) for name in preset_names()}
    assert [name for name, config in configs.items() if isinstance(config, Config)] == PRESETS


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_states_only_what_differs_from_what_it_extends(name: str):
    *below, own = file_layers(name)
    task_section = next(s for s in ("env", "sine", "few_shot") if s in merged([*below, own]))
    first = Layer({task_section: {"id": "A"} if task_section == "env" else {}}, {})
    algorithm = Layer({k: own.settings[k] for k in own.settings if k == "algorithm"}, {})
    default = "maml_trpo" if task_section == "env" else "maml"
    settings = merged_for_present_algorithm([*(below or [first]), algorithm], [], default)
    base = config_from_mapping(settings, "base").model_dump(mode="json")
    for section, values in own.settings.items():
        for key, value in values.items():
            if (section, key) not in (("env", "id"), ("algorithm", "name")):
                assert value != base[section][key], (section, key)


@pytest.mark.parametrize("name", [name for name in PRESETS if "_oracle" in name])
def test_the_references_learn_the_same_tasks_without_adapting(name: str):
    environment = name.removesuffix("_oracle")
    maml, pretrained, oracle = (
        load_config(f"{environment}{ending}") for ending in ("", "_pretrained", "_oracle")
    )
    assert maml.env == pretrained.env
    assert oracle.env == maml.env.model_copy(update={"observe_task": True})
    assert maml.rollout == pretrained.rollout == oracle.rollout
    assert pretrained.adaptation == maml.adaptation.model_copy(
        update={"num_adaptation_steps": 0, "multi_step": False}
    )
    assert pretrained.evaluation == maml.evaluation
    assert oracle.adaptation.num_adaptation_steps == oracle.evaluation.num_adaptation_steps == 0


def test_defaults():
    config = config_from_mapping(MINIMAL, "test")
    assert config.policy.hidden_sizes == (100, 100)
    assert config.adaptation.inner_step_size == 0.1
    assert config.meta_update.steps_per_chunk is None
    assert config.rollout.num_threads == 0
    assert config.run.dir is None


@pytest.mark.parametrize("name", preset_names())
def test_every_setting_has_a_meaning_and_an_effect(name: str):
    for setting, field in fields_of(type(load_config(name))).items():
        assert field.description.endswith("."), setting
        assert len(field.description) <= 100, setting
        assert field.json_schema_extra["effect"] in set(Effect), setting


def test_a_file_and_overrides_are_merged_in_order(write):
    path = write("env: {id: A-v0, options: {x: 1}}\nrollout: {horizon: 7}\n")
    config = load_config(
        path,
        [
            "rollout.horizon=8",
            "rollout.horizon=9",
            "policy.hidden_sizes=[]",
            "env.options.y=[1, two]",
            "meta_update.damping=1e-4",
            "run.meta_iterations=3",
        ],
    )
    assert config.rollout.horizon == 9
    assert config.policy.hidden_sizes == ()
    assert config.env.options == {"x": 1, "y": [1, "two"]}
    assert config.meta_update.damping == 1e-4


def test_settings_cannot_be_changed():
    config = config_from_mapping(MINIMAL, "test")
    with pytest.raises(ValidationError):
        config.run.seed = 3


def test_all_problems_are_reported_at_once_with_their_sources(write):
    path = write("env:\n  id: A-v0\npolicy:\n  activation: tanhh\n  hidden_sizes: [3, x]\n")
    problems = problems_of(path, "rollout.meta_batch_sise=3", "rollout.horizon=2", "run.seed=-1")
    assert problems == [
        "run.seed should be greater than or equal to 0, but is -1 [command line: run.seed=-1]",
        f'policy.hidden_sizes.1 should be an integer, but is "x" [{path}:5]',
        "policy.activation should be 'tanh', 'relu', 'elu' or 'silu', but is \"tanhh\"; "
        f"did you mean tanh? [{path}:4]",
        "rollout.meta_batch_sise is not a setting; did you mean run.meta_batch_size? "
        "[command line: rollout.meta_batch_sise=3]",
    ]


def test_an_override_that_hides_a_bad_value_hides_its_problem(write):
    assert load_config(write("env: {id: A}\nrun: {seed: x}"), ["run.seed=1"]).run.seed == 1


def test_contradictions_are_reported_beside_other_problems():
    problems = problems_of("navigation", "meta_update.curvature_stride=500", "rollout.typo=1")
    assert problems[1] == (
        "meta_update.curvature_stride (500) should not be greater than rollout.horizon (100) "
        "[command line: meta_update.curvature_stride=500]"
    )
    assert len(problems) == 2


def test_a_contradiction_names_the_setting_that_was_changed():
    (problem,) = problems_of("half_cheetah_vel", "policy.init_std=1e-9")
    assert problem == (
        "policy.min_std (1e-06) should not be greater than policy.init_std (1e-09) "
        "[command line: policy.init_std=1e-9]"
    )


def test_the_trust_region_shrinks_or_stays():
    (problem,) = problems_of("half_cheetah_vel", "meta_update.final_max_kl=0.03")
    assert problem == (
        "meta_update.final_max_kl (0.03) should not be greater than meta_update.max_kl (0.02) "
        "[command line: meta_update.final_max_kl=0.03]"
    )
    with pytest.raises(ValidationError, match="should not be greater"):
        KIND(env={"id": "A"}, meta_update={"final_max_kl": 0.03})
    assert load_config("half_cheetah_vel", ["meta_update.final_max_kl=0.02"])


def test_dice_needs_every_time_step():
    (problem,) = problems_of("navigation", "adaptation.surrogate=dice")
    assert problem.startswith("meta_update.curvature_stride should be 1 with")
    with pytest.raises(ValidationError, match="should be 1 with"):
        KIND(env={"id": "A"}, adaptation={"surrogate": "dice"}, meta_update={"curvature_stride": 2})


def test_contradictions_are_refused_without_a_file_too():
    with pytest.raises(ValidationError, match="should not be greater"):
        KIND(env={"id": "A"}, rollout={"horizon": 2}, meta_update={"curvature_stride": 3})


@pytest.mark.parametrize(
    "override",
    [
        "run.seed=4.5",
        "run.seed=4.0",
        "run.seed='4'",
        "run.seed=true",
        "run.seed=null",
        "run.seed=",
        "run.seed=[1]",
        "meta_update.max_kl=true",
        "meta_update.max_kl=.nan",
        "meta_update.max_kl=.inf",
        "meta_update.max_kl=0",
        "meta_update.final_max_kl=0",
        "meta_update.final_max_kl=.inf",
        "meta_update.final_max_kl='x'",
        "meta_update.backtrack_ratio=1",
        "meta_update.steps_per_chunk=0",
        "adaptation.first_order=1",
        "rollout.discount_factor=1.01",
        "rollout.gae_lambda=-0.1",
        "rollout.episodes_per_task=1",
        "policy.hidden_sizes=[0]",
        "policy.hidden_sizes=[2.0]",
        "policy.hidden_sizes=64",
        "policy.hidden_sizes=[true]",
        "env.id=3",
        "env.id=''",
        "env.options=[1]",
        "env.options.x=[{y: .nan}]",
        "run.dir=''",
        "run.device=tpu",
        "rollout=null",
        "rollout=3",
        "meta_update.damping=${nowhere}",
    ],
)
def test_bad_values_give_one_problem_that_names_the_override(override: str):
    (problem,) = problems_of("navigation", override)
    assert problem.endswith(f"[command line: {override}]")
    assert problem.startswith(override.split("=")[0])


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("rolout.horizon=1", "rollout"),
        ("horizon=1", "rollout.horizon"),
        ("run.horizon=1", "rollout.horizon"),
        ("rollout.disount_factor=1", "rollout.discount_factor"),
        ("meta_update.hidden_sizes=[1]", "policy.hidden_sizes"),
    ],
)
def test_misspelt_names_are_recognised(override: str, suggestion: str):
    (problem,) = problems_of("navigation", override)
    assert f"; did you mean {suggestion}? [" in problem


@pytest.mark.parametrize("override", ["", "=", "seed", "=3", "a..b=1", "--x", "a b=1"])
def test_overrides_of_another_form(override: str):
    (problem,) = problems_of("navigation", override)
    assert problem == f"the override {override!r} should have the form section.key=value"


@pytest.mark.parametrize(
    "value", ["[1", "'", "1" * 5000, "0x" + "f" * 17, str(2**63), "&a [*a]", "!!int", "!!bool x"]
)
def test_values_of_overrides_that_cannot_be_read(value: str):
    (problem,) = problems_of("navigation", f"policy.hidden_sizes={value}")
    assert problem.startswith("the value of policy.hidden_sizes is not valid YAML: ")


@pytest.mark.parametrize("text", ["${run.seed}", "${oc.env:SECRET_TOKEN}", "x${", "\\${x}", "???"])
def test_nothing_in_a_text_is_replaced(write, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    settings = {"env": {"id": "A", "options": {"a": [text]}}, "run": {"wandb_project": text}}
    from_file = load_config(write(yaml.safe_dump(settings)))
    from_override = load_config("navigation", [f"run.wandb_project={text}"])
    assert from_file.run.wandb_project == from_override.run.wandb_project == text
    assert from_file.env.options == {"a": [text]}
    assert load_config(write(config_to_yaml(from_file))) == from_file


# Each takes gigabytes or minutes where it is expanded or converted before it is looked at.
BOMBS = {
    "aliases": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    + "env: {id: A}",
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))
    + "env: {id: A}",
    "chain": "a0: &a0 [1]\n"
    + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100))
    + "env: {id: A}",
    "cycle": "env: &a {id: A, options: {x: *a}}",
    "cycle of keys": "env: {id: A, options: {x: &a {*a : 1}}}",
    "levels": "env: {id: A, options: {x: " + "[" * 60 + "]" * 60 + "}}",
    "values": "env: {id: A, options: {x: [" + "1," * 11_000 + "]}}",
    "digits": "env: {id: A, options: {x: " + "9" * 5000 + "}}",
    "hexadecimal": "env: {id: A, options: {x: 0x" + "f" * 50_000 + "}}",
    "sexagesimal": "env: {id: A, options: {x: 1" + ":59" * 20_000 + "}}",
    "fraction": "env: {id: A, options: {x: 1." + "5" * 50_000 + "}}",
    "65 bits": "env: {id: A}\nrun: {seed: 18446744073709551616}",
    "tag": "env: !<" + "a" * 50_000 + "> {id: A}",
    "size": "#" * 300_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_too_large_is_refused_before_it_is_built(write, name: str):
    path = write(BOMBS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (problem,) = problems_of(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert problem.startswith(path)
    assert len(problem) < 3000
    assert grown < 100_000  # KiB


@pytest.mark.parametrize("name", setting_names(KIND))
def test_every_integer_has_bounds(name: str):
    section, key = name.split(".")
    if "integer" not in str(KIND.model_json_schema()["$defs"][KINDS[section]]["properties"][key]):
        return
    for value in (2**63, -(2**63), 10**400, -(10**400)):
        shown = hex(value) if abs(value) > 2**64 else str(value)
        text = f"[{shown}]" if key == "hidden_sizes" else shown
        with pytest.raises(ConfigError, match=key):
            load_config("navigation", [f"{name}={text}"])
    with pytest.raises(ConfigError, match=key):
        value = 2**63 if key != "hidden_sizes" else [2**63]
        config_from_mapping(MINIMAL | {section: {key: value}}, "test")


def test_an_unknown_preset_lists_the_presets_and_the_nearest():
    (problem,) = problems_of("navigaton")
    assert "'navigaton'; did you mean navigation?" in problem
    assert all(name in problem for name in PRESETS)


def test_an_unknown_preset_is_reported_beside_a_bad_override():
    assert len(problems_of("navigaton", "seed")) == 2


@pytest.mark.parametrize("name", ["absent.yaml", "folder/absent", "a\0b.yaml", "."])
def test_files_that_cannot_be_read(name: str):
    (problem,) = problems_of(name)
    assert "cannot be read" in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "env.id is required"),
        ("env:\n  id: [\n", ":3 is not valid YAML"),
        ("env: {id: A}\nrun: {}\nrun: {}", ":3 is not valid YAML: found duplicate key run"),
        ("env: !!python/object:os.system {}", ":1 is not valid YAML"),
        ("only words", "should hold sections"),
        ("- 1\n- 2\n", "should hold sections"),
        ("env: {id: A}\n---\nrun: {}", "is not valid YAML"),
        (b"\xff\xfe\xfd", "is not a text file"),
        ("[" * 5000, ":1 is not valid YAML: found more than 50 levels"),
        ("env: {id: A}\n3: 4\n", ":2]"),
    ],
)
def test_files_that_hold_something_else(write, text: str | bytes, message: str):
    path = write(text)
    (problem,) = problems_of(path)
    assert path in problem
    assert message in problem


def test_one_problem_is_one_line():
    with pytest.raises(ConfigError) as caught:
        load_config("navigation", ["run.seed=x"])
    assert str(caught.value) == (
        'run.seed should be an integer, but is "x" [command line: run.seed=x]'
    )


def test_several_problems_are_a_list():
    with pytest.raises(ConfigError) as caught:
        load_config("navigation", ["run.seed=x", "run.dir=3"])
    heading, *lines = str(caught.value).splitlines()
    assert heading == "the configuration has 2 problems:"
    assert [line[:4] for line in lines] == ["  - ", "  - "]


# Anything that YAML or JSON can hold, and more: names near the real ones come up often.
names = st.sampled_from(
    ["env", "sine", "few_shot", "run", "rollout", "policy", "id", "seed", "options", "horizon"]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary()
)
values = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(names | st.text(max_size=3) | st.integers(), children, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(names | st.text(max_size=3) | st.integers(), values, max_size=4))
def test_any_mapping_gives_a_configuration_or_a_config_error(mapping):
    try:
        config = config_from_mapping(mapping, "test")
    except ConfigError as error:
        assert str(error)
    else:
        assert isinstance(config, Config | SupervisedConfig)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.builds("{}={}".format, st.sampled_from(setting_names(KIND)) | st.text(), st.text()))
)
def test_any_override_gives_a_configuration_or_a_config_error(overrides):
    try:
        config = load_config("navigation", overrides)
    except ConfigError as error:
        assert str(error)
    else:
        assert isinstance(config, Config | SupervisedConfig)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        ["1e3", "off", "null", "${run.seed}", "\\${x}", "\\\\${", "???", "~", "2020"]
    ),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), children, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(
    options=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=3
    ),
    hidden_sizes=st.lists(st.integers(1, MAX_COUNT), max_size=3),
    max_kl=st.floats(min_value=math.ulp(0.0), allow_infinity=False),
    directory=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_what_is_written_is_read_back(tmp_path_factory, options, hidden_sizes, max_kl, directory):
    config = config_from_mapping(
        {
            "env": {"id": "A-v0", "options": options},
            "policy": {"hidden_sizes": hidden_sizes},
            "meta_update": {"max_kl": max_kl},
            "run": {"dir": directory},
        },
        "test",
    )
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8")
    assert load_config(str(path)) == config
