"""Which algorithm settings name, and what is said where it is none: one sentence, and status 1."""

import importlib
import sys
from pathlib import Path

import pytest

from meta_rl.cli import app
from meta_rl.config import Config, ConfigError, config_from_mapping, config_to_yaml, load_config
from meta_rl.config import algorithm as algorithms
from meta_rl.config.algorithm import ALGORITHMS, algorithm_class
from meta_rl.config.kinds import kind_of_run

VERBS = """
    def initial_state(self, generator): ...
    def adapt(self, state, play, num_steps): ...
    def update(self, state, play, meta_iteration): ...
"""
MODULE = f"""
from pydantic import BaseModel
from meta_rl.config import Effect, Section, setting

class Own(Section):
    '''Settings of its own.'''
    size: int = setting(3, meaning="Of it.", effect=Effect.TRAINING, ge=1)

def size_is_not_13(settings):
    if settings("own.size") == 13:
        yield "own.size", "own.size brings bad luck"

class Good:
    learns_from = "episodes"
    sections = {{"own": Own}}
    rules = (size_is_not_13,)
{VERBS}

class Plain:
    learns_from = "episodes"
{VERBS}

class Examples(Plain):
    learns_from = "examples"

class Undecided(Good):
    learns_from = "pixels"

class NoVerb:
    learns_from = "episodes"
    def initial_state(self, generator): ...
    def adapt(self, state, play, num_steps): ...

class ListOfSections(Plain):
    sections = [Own]

class ForeignSection(Plain):
    class Foreign(BaseModel):
        size: int = 3
    sections = {{"own": Foreign}}

class TakenName(Plain):
    sections = {{"rollout": Own}}

class MethodName(Plain):
    sections = {{"model_dump": Own}}

class OddName(Plain):
    sections = {{"Own.settings": Own}}

class Undeclared(Plain):
    class Bare(Section):
        size: int = 3
    sections = {{"own": Bare}}

class NoDefault(Plain):
    class Required(Section):
        size: int = setting(meaning="Of it.")
    sections = {{"own": Required}}

class OddRules(Plain):
    rules = {{"own.size": 3}}

not_a_class = 3
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('first line\\nsecond line')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(algorithms, "_allowed", set())
    importlib.invalidate_caches()
    yield
    sys.modules.pop("mine", None)
    algorithm_class.cache_clear()
    kind_of_run.cache_clear()


def test_an_algorithm_of_ones_own_brings_settings():
    Path("own.yaml").write_text("env: {id: Navigation2D-v0}\n")
    config = load_config("own.yaml", ["algorithm.name=mine:Good", "own.size=5"])
    assert isinstance(config, Config)
    assert config.own.size == 5
    file = Path("written.yaml")
    file.write_text(config_to_yaml(config))
    assert load_config(str(file)) == config


def test_what_a_preset_says_for_another_algorithm_is_left_out():
    plain = load_config("smoke", ["algorithm.name=mine:Plain"])
    assert not hasattr(plain, "adaptation")
    assert plain.rollout == load_config("smoke").rollout
    before = load_config("navigation")
    assert before.meta_update.curvature_stride > 1
    promp = load_config("navigation", ["algorithm.name=promp"])
    assert not hasattr(promp.meta_update, "curvature_stride")
    # What both have stays as the preset says.
    assert promp.adaptation.inner_step_size == before.adaptation.inner_step_size
    Path("extending.yaml").write_text("extend: smoke\nalgorithm: {name: 'mine:Plain'}\n")
    assert not hasattr(load_config("extending.yaml"), "adaptation")


def test_ours_are_all_there():
    for name in ALGORITHMS:
        assert algorithm_class(name)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("smoke algorithm.name=promp2", "but is promp2; did you mean promp?"),
        ("smoke algorithm.name=:A", "or module:Class, but is :A"),
        ("smoke algorithm.name='mine:'", "or module:Class, but is mine:"),
        ("smoke algorithm.name=reptile", "reptile learns from examples, and these tasks give epi"),
        ("sine algorithm.name=promp", "promp learns from episodes, and these tasks give examples"),
        ("smoke algorithm.name=absent:A", "cannot be imported: ModuleNotFoundError: No module"),
        ("smoke algorithm.name=broken:A", r"imported: RuntimeError: first line\nsecond line"),
        ("smoke algorithm.name=mine:Absent", "mine has no class Absent"),
        ("smoke algorithm.name=mine:not_a_class", "mine has no class not_a_class"),
        ("smoke algorithm.name=mine:NoVerb", "mine:NoVerb: the class has no method update"),
        ("smoke algorithm.name=mine:Examples", "learns from examples, and these tasks give epis"),
        ("smoke algorithm.name=mine:Undecided", "should be episodes or examples, but is pixels"),
        ("smoke algorithm.name=mine:ListOfSections", "sections should map names to classes of"),
        ("smoke algorithm.name=mine:ForeignSection", "sections should map names to classes of"),
        ("smoke algorithm.name=mine:TakenName", "a section cannot be called rollout"),
        ("smoke algorithm.name=mine:MethodName", "a section cannot be called model_dump"),
        ("smoke algorithm.name=mine:OddName", "small letters, digits and underscores, but is Own."),
        ("smoke algorithm.name=mine:Undeclared", "own.size should be declared with meta_rl.config"),
        ("smoke algorithm.name=mine:NoDefault", "own.size should be declared with meta_rl.config"),
        ("smoke algorithm.name=mine:OddRules", "rules should be a tuple of functions"),
        ("own.yaml adaptation.multi_step=true", "is a section of algorithm.name=maml_trpo or pro"),
        ("smoke algorithm.name=mine:Plain adaptation.multi_step=true", "adaptation is a section"),
        ("own.yaml own.size=0", "own.size should be greater than or equal to 1, but is 0"),
        ("own.yaml own.size=13", "own.size brings bad luck"),
        ("own.yaml own.sise=1", "own.sise is not a setting; did you mean own.size?"),
        ("navigation meta_update.objective=clipped", "has no trust region: use algorithm.name=pro"),
        ("navigation meta_update.optimiser=adam", "has no trust region: use algorithm.name=promp"),
        ("navigation adaptation.surrogate=dice", "meta_update.curvature_stride should be 1 with"),
        ("sine adaptation.optimiser=adam", "is a setting of algorithm.name=reptile"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: str, sentence: str, capsys):
    Path("own.yaml").write_text("env: {id: Navigation2D-v0}\nalgorithm: {name: 'mine:Good'}\n")
    with pytest.raises(SystemExit) as ended:
        app(["train", *arguments.split()])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and error.count("\n") == 1
    assert sentence in error


def test_what_nobody_has_named_is_not_imported():
    with pytest.raises(ValueError, match="code that nobody has allowed to run"):
        algorithm_class("mine:Good")
    assert "mine" not in sys.modules
    with pytest.raises(ConfigError, match="nobody has allowed"):
        config_from_mapping({"env": {"id": "A"}, "algorithm": {"name": "mine:Good"}}, "values")
    assert "mine" not in sys.modules


@pytest.mark.parametrize("value", ["", "null", "3", "[maml]", "{a: b}"])
def test_a_name_that_is_no_text_is_one_sentence(value: str):
    with pytest.raises(ConfigError, match=r"algorithm\.name should be text, but is"):
        load_config("smoke", [f"algorithm.name={value}"])
