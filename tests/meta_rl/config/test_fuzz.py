"""Random settings give a configuration or clear sentences, never anything else."""

import os
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_rl.config import (
    ConfigError,
    config_to_yaml,
    config_with_comments,
    load_config,
    preset_names,
)
from meta_rl.config.kinds import setting_names

NUM_EXAMPLES = int(os.environ.get("META_RL_FUZZ_EXAMPLES", "300"))
PRESETS = preset_names()
KNOWN = sorted({name for preset in PRESETS for name in setting_names(type(load_config(preset)))})

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["auto", "cpu", "tanh", "1e-3", "0x1", "1..5", "${run.seed}", "${", "~", "!!a"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
names = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(KNOWN).map(lambda name: name[:-1]),
    st.sampled_from(KNOWN).map(lambda name: name + ".x"),
    st.text(max_size=15),
    st.builds("{}.{}".format, st.text(max_size=6), st.text(max_size=6)),
)
overrides = st.lists(
    st.one_of(
        st.builds("{}={}".format, names, values),
        st.builds("{}={}".format, names, values.map(lambda value: yaml.safe_dump(value).strip())),
        st.text(max_size=20),
    ),
    max_size=6,
)
fuzz = settings(max_examples=NUM_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def load_or_explain(config: str, changes: list[str]) -> None:
    """Loads, or takes sentences of which each is one line; anything else is an exception."""
    try:
        loaded = load_config(config, changes)
    except ConfigError as error:
        assert error.args
        for sentence in error.args:
            assert sentence.strip() and "\n" not in sentence
            assert "Traceback" not in sentence
    else:
        assert config_to_yaml(loaded)
        assert config_with_comments(loaded)


@fuzz
@given(st.one_of(st.sampled_from(PRESETS), st.text(max_size=10)), overrides)
def test_random_presets_and_overrides(config: str, changes: list[str]):
    load_or_explain(config, changes)


@fuzz
@given(
    st.one_of(
        st.dictionaries(
            st.sampled_from(["extend", *(name.split(".")[0] for name in KNOWN)])
            | st.text(max_size=6),
            values
            | st.dictionaries(
                st.sampled_from([name.split(".")[1] for name in KNOWN]), values, max_size=4
            ),
            max_size=5,
        ).map(yaml.safe_dump),
        values.map(yaml.safe_dump),
        st.text(max_size=40),
        st.binary(max_size=40),
    )
)
def test_random_files(tmp_path_factory, content: str | bytes):
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    data = content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    Path(file).write_bytes(data)
    load_or_explain(str(file), [])
