"""Settings of runs on supervised tasks: which kind a file is of, presets, contradictions."""

import pytest

from meta_rl.config import (
    Config,
    ConfigError,
    FewShotRunConfig,
    SineRunConfig,
    config_from_mapping,
    config_to_yaml,
    load_config,
    preset_names,
)

PRESETS = {
    name: load_config(name) for name in preset_names() if not isinstance(load_config(name), Config)
}


def problems_of(config: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(config, overrides)
    return [problem.partition(" [")[0] for problem in caught.value.args]


def test_the_task_section_tells_the_kind():
    assert isinstance(config_from_mapping({"sine": {}}, "test"), SineRunConfig)
    assert isinstance(config_from_mapping({"few_shot": {}}, "test"), FewShotRunConfig)
    assert isinstance(config_from_mapping({"env": {"id": "A"}}, "test"), Config)
    with pytest.raises(ConfigError, match=r"env\.id is required"):
        config_from_mapping({}, "test")
    with pytest.raises(ConfigError, match="sine is not a setting"):
        config_from_mapping({"env": {"id": "A"}, "sine": {}}, "test")


def test_there_is_a_preset_for_every_method():
    wanted = {"sine", "sine_fomaml", "sine_reptile", "sine_pretrained", "sine_oracle"}
    wanted |= {f"omniglot_5way_1shot{method}" for method in ("", "_fomaml", "_reptile")}
    wanted |= {"omniglot_20way_1shot", "omniglot_3way_1shot_reptile", "omniglot_gradients"}
    assert wanted | {"glyphs_5way_1shot", "mini_imagenet_5way_1shot"} <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_writing(name, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(config_to_yaml(PRESETS[name]))
    assert load_config(str(path)) == PRESETS[name]


def test_the_papers_settings():
    sine = PRESETS["sine"]
    # The step of the published code; the paper's text says .01.
    assert (sine.sine.shots, sine.adaptation.inner_step_size) == (10, 0.001)
    assert (sine.run.meta_batch_size, sine.run.meta_iterations) == (25, 70_000)
    images = PRESETS["omniglot_5way_1shot"]
    # .4 on a sum over 5 classes; .1 over 20.
    assert images.adaptation.inner_step_size == pytest.approx(0.4 * 5)
    twenty = PRESETS["omniglot_20way_1shot"]
    assert twenty.adaptation.inner_step_size == pytest.approx(0.1 * twenty.few_shot.ways)
    mini = PRESETS["mini_imagenet_5way_1shot"]
    assert mini.adaptation.inner_step_size == pytest.approx(0.01 * mini.few_shot.ways)


@pytest.mark.parametrize(
    ("preset", "overrides", "problem"),
    [
        ("sine", ["sine.shotz=1"], "sine.shotz is not a setting; did you mean sine.shots?"),
        ("sine", ["env.id=A"], "sine is not a setting"),
        (
            "glyphs_5way_1shot",
            ["few_shot.dataset=omniglott"],
            "few_shot.dataset should be 'glyphs', 'omniglot' or 'mini_imagenet', but is "
            '"omniglott"; did you mean omniglot?',
        ),
        (
            "sine",
            ["adaptation.optimiser=adam"],
            "adaptation.optimiser is a setting of algorithm.name=reptile",
        ),
        (
            "sine",
            ["adaptation.examples_per_step=5"],
            "adaptation.examples_per_step is a setting of algorithm.name=reptile",
        ),
        (
            "sine_reptile",
            ["adaptation.first_order=true"],
            "adaptation.first_order is a setting of algorithm.name=maml",
        ),
        (
            "sine_reptile",
            ["adaptation.num_adaptation_steps=0"],
            "adaptation.num_adaptation_steps should be greater than or equal to 1, but is 0",
        ),
        (
            "sine_reptile",
            ["meta_update.gradient_weights=[1,1]"],
            "meta_update.gradient_weights should hold 5 numbers that are not all zero, one for "
            "each of adaptation.num_adaptation_steps",
        ),
        (
            "omniglot_gradients",
            ["meta_update.gradient_weights=[0,0,0,0]"],
            "meta_update.gradient_weights should hold 4 numbers that are not all zero, one for "
            "each of adaptation.num_adaptation_steps",
        ),
        (
            "sine_reptile",
            ["evaluation.queries=51"],
            "evaluation.queries (51) should not be greater than sine.grid_size (50)",
        ),
        (
            "glyphs_5way_1shot",
            ["few_shot.path=x"],
            "few_shot.path should be null with few_shot.dataset=glyphs",
        ),
        (
            "glyphs_5way_1shot",
            ["few_shot.split=reptile"],
            "few_shot.split is for few_shot.dataset=omniglot only",
        ),
        (
            "mini_imagenet_5way_1shot",
            ["few_shot.download=true"],
            "few_shot.download is for few_shot.dataset=omniglot only",
        ),
    ],
)
def test_contradictions(preset, overrides, problem):
    assert problem in problems_of(preset, *overrides)


def test_contradictions_are_refused_without_a_file_too():
    with pytest.raises(ValueError, match=r"greater than sine\.grid_size"):
        SineRunConfig(sine={"grid_size": 5})
