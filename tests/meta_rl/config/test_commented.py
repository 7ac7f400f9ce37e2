"""What ``--print-config`` shows."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_rl.config import config_from_mapping, config_with_comments, load_config, preset_names
from meta_rl.config.kinds import fields_of


@pytest.mark.parametrize("name", preset_names())
def test_every_meaning_is_shown_and_all_loads_back(name: str, tmp_path):
    config = load_config(name)
    text = config_with_comments(config)
    assert max(map(len, text.splitlines())) <= 100
    flat = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for field in fields_of(type(config)).values():
        assert field.description in flat
    path = tmp_path / "printed.yaml"
    path.write_text(text)
    assert load_config(str(path)) == config


@pytest.mark.parametrize(
    ("preset", "lines"),
    [
        ("navigation", "  # Meta-updates of the whole run. At least 1.\n  meta_iterations: 80\n"),
        ("navigation", ". Greater than 0 and at most 1.\n  discount_factor: 0.99\n"),
        ("navigation", ". One of tanh, relu, elu, silu.\n  activation: tanh\n"),
        ("navigation", " null keeps it constant. Greater than 0.\n  final_max_kl: null\n"),
        ("navigation", "(FOMAML).\n  first_order: false\n"),
        ("sine_reptile", ". One of sgd, adam.\n  optimiser: sgd\n"),
        ("omniglot_5way_1shot", ". One of vinyals, reptile, maml.\n  split: maml\n"),
    ],
)
def test_range_and_choices_stand_beside_the_meaning(preset: str, lines: str):
    assert lines in config_with_comments(load_config(preset))


def test_the_tasks_come_first_and_the_run_last():
    sections = [
        line for line in config_with_comments(load_config("sine")).splitlines() if line[0] != " "
    ]
    assert (sections[0], sections[-1]) == ("sine:", "run:")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)


@settings(deadline=None, max_examples=200)
@given(
    options=st.recursive(
        st.dictionaries(texts, texts | st.none() | st.booleans(), max_size=3),
        lambda inner: st.dictionaries(texts, inner | st.lists(inner, max_size=2), max_size=2),
        max_leaves=4,
    ),
    max_kl=st.floats(min_value=math.ulp(0.0), allow_infinity=False),
    project=texts.filter(bool),
)
def test_any_values_load_back(tmp_path_factory, options, max_kl, project):
    config = config_from_mapping(
        {
            "env": {"id": "A-v0", "options": options},
            "meta_update": {"max_kl": max_kl},
            "run": {"wandb_project": project},
        },
        "test",
    )
    path = tmp_path_factory.getbasetemp() / "commented.yaml"
    path.write_text(config_with_comments(config), encoding="utf-8")
    assert load_config(str(path)) == config
