"""Presets and files that extend others."""

from pathlib import Path

import pytest

from meta_rl.config import ConfigError, config_to_yaml, load_config, preset_names
from meta_rl.config.layers import file_layers


@pytest.fixture
def write(tmp_path: Path):
    def write_file(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write_file


def problem_of(config: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(config, overrides)
    (problem,) = caught.value.args
    assert "\n" not in problem
    return problem


def test_a_file_states_only_what_differs(write):
    write("folder/base.yaml", "extend: navigation\nenv: {options: {a: 1}}\nrun: {seed: 1}\n")
    path = write("own.yaml", "extend: folder/base.yaml\nenv: {options: {b: 2}}\nrun: {seed: 2}\n")
    options = ["env.options.a=1", "env.options.b=2"]
    assert load_config(path) == load_config("navigation", [*options, "run.seed=2"])
    assert load_config(path, ["run.seed=3"]).run.seed == 3
    # What is written is complete.
    assert "extend" not in config_to_yaml(load_config(path))


def test_a_path_is_relative_to_the_file_that_extends_it(write):
    write("folder/base.yaml", "extend: ../smoke_of_mine.yaml\nrun: {seed: 1}\n")
    write("smoke_of_mine.yaml", "extend: smoke\nrollout: {horizon: 7}\n")
    path = write("own.yaml", "extend: folder/base.yaml\n")
    assert load_config(path) == load_config("smoke", ["rollout.horizon=7", "run.seed=1"])


def test_errors_name_the_file_and_the_line_in_which_a_value_stands(write):
    base = write("base.yaml", "extend: smoke\nrollout:\n  horizzon: 3\n")
    path = write("own.yaml", "extend: base.yaml\nrun:\n  seed: x\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert list(caught.value.args) == [
        f'run.seed should be an integer, but is "x" [{path}:3]',
        f"rollout.horizzon is not a setting; did you mean rollout.horizon? [{base}:3]",
    ]


def test_a_former_name_in_one_file_and_the_present_one_in_another(write):
    write("base.yaml", "extend: smoke\nrollout: {meta_batch_size: 5}\n")
    assert load_config(write("a.yaml", "extend: base.yaml")).run.meta_batch_size == 5
    present = write("b.yaml", "extend: base.yaml\nrun: {meta_batch_size: 6}")
    assert load_config(present).run.meta_batch_size == 6
    former = write("c.yaml", "extend: b.yaml\nrollout: {meta_batch_size: 7}")
    assert load_config(former).run.meta_batch_size == 7


@pytest.mark.parametrize(
    ("extended", "message"),
    [
        ("own.yaml", "extend leads back to "),
        ("a.yaml", "extend leads back to "),
        ("absent.yaml", "absent.yaml cannot be read"),
        ("smokee", "there is neither a preset nor a file called 'smokee'; did you mean smoke?"),
        ("''", "extend should be the name of a preset or the path of a YAML file, but is"),
        ("null", "extend should be the name of a preset or the path of a YAML file, but is null"),
        ("[smoke]", 'of a YAML file, but is ["smoke"]'),
        ("damaged.yaml", "damaged.yaml:2 is not valid YAML"),
        ("list.yaml", "list.yaml should hold sections of settings"),
    ],
)
def test_what_cannot_be_extended(write, extended: str, message: str):
    write("a.yaml", "extend: b.yaml\n")
    write("b.yaml", "run: {seed: 1}\nextend: a.yaml\n")
    write("damaged.yaml", "env: [\n")
    write("list.yaml", "- 1\n")
    path = write("own.yaml", f"# mine\nextend: {extended}\n")
    problem = problem_of(path)
    assert message in problem
    place = path.replace("own", "b") + ":2" if extended == "a.yaml" else f"{path}:2"
    assert problem.endswith(f" [{place}]")


def test_a_chain_has_an_end(write):
    files = [write(f"{number}.yaml", f"extend: {number + 1}.yaml\n") for number in range(12)]
    write("12.yaml", "extend: smoke\n")
    assert load_config(files[3]) == load_config("smoke")
    assert "extend leads through more than 10 files" in problem_of(files[0])


def test_extend_is_no_setting_of_the_command_line():
    assert "extend is not a setting" in problem_of("smoke", "extend=navigation")


def test_references_extend_what_they_are_beside():
    for name in preset_names():
        base, _, ending = name.rpartition("_")
        if ending in ("oracle", "pretrained", "fomaml"):
            assert [Path(layer.sources[()]).stem for layer in file_layers(name)] == [base, name]
