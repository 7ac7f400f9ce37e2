"""Grids of settings: ranges, lists, and what looks like them and is not."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_rl.config import ConfigError
from meta_rl.config.grid import MAX_POINTS, expand_grid


def overrides(*arguments: str) -> list[tuple[str, ...]]:
    return [point.overrides for point in expand_grid(arguments)]


def values(text: str) -> list[str]:
    return [point.overrides[0].partition("=")[2] for point in expand_grid([f"a.b={text}"])]


def test_every_combination_once_and_the_last_setting_fastest():
    assert overrides("run.seed=1..2", "run.device=cpu", "a.x=0.05,0.1") == [
        ("run.seed=1", "run.device=cpu", "a.x=0.05"),
        ("run.seed=1", "run.device=cpu", "a.x=0.1"),
        ("run.seed=2", "run.device=cpu", "a.x=0.05"),
        ("run.seed=2", "run.device=cpu", "a.x=0.1"),
    ]


def test_what_varies_is_known():
    points = expand_grid(["run.seed=1..2", "run.device=cpu"])
    assert [dict(point.varied) for point in points] == [{"run.seed": "1"}, {"run.seed": "2"}]


def test_without_values_there_is_one_point():
    (point,) = expand_grid([])
    assert (point.overrides, dict(point.varied)) == ((), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1..5", ["1", "2", "3", "4", "5"]),
        ("3..3", ["3"]),
        ("-1..1", ["-1", "0", "1"]),
        ("1..2,7", ["1", "2", "7"]),
        ("a, b", ["a", "b"]),
        ("[64,64],[100,100]", ["[64,64]", "[100,100]"]),
        ("[64,64]", ["[64,64]"]),
        ("[[1,2],[3,4]]", ["[[1,2],[3,4]]"]),
        ("{x: 1, y: 2},{x: 3, y: 4}", ["{x: 1, y: 2}", "{x: 3, y: 4}"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ('"a,b"', ['"a,b"']),
        ('["x],",1],2', ['["x],",1]', "2"]),
        ("it's,hers", ["it's", "hers"]),
        ("", [""]),
        ("../x", ["../x"]),
        ("a..b", ["a..b"]),
        ("1e-3,1e-2", ["1e-3", "1e-2"]),
        ("[1,2", ["[1,2"]),
    ],
)
def test_values(text, expected):
    assert values(text) == expected


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["a.b=5..1"], "did you mean 1..5?"),
        (["a.b=0.1..0.5"], "a whole number at each end"),
        (["a.b=1,,2"], "an empty value"),
        (["a.b=1,"], "an empty value"),
        (["a.b=1..3,2"], "the value 2 more than once"),
        (["a.b=1,2", "a.b=3"], "a.b takes several values and is given more than once"),
        (["a.b=1..99999999999999999"], f"more than {MAX_POINTS} values"),
        (["a.b=1..40", "a.c=1..40"], "the grid has 1600 points"),
    ],
)
def test_mistakes(arguments, part):
    with pytest.raises(ConfigError) as caught:
        expand_grid(arguments)
    (problem,) = caught.value.args
    assert part in problem


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        expand_grid(["a.b=2..1", "a.c=1,,2"])
    assert len(caught.value.args) == 2


WORDS = st.lists(st.text("abc019.-_", min_size=1).filter(lambda word: ".." not in word), min_size=1)


@given(st.lists(WORDS.map(lambda words: sorted(set(words))), max_size=4))
def test_a_grid_is_the_product_of_its_lists(lists):
    arguments = [f"s.k{index}={','.join(words)}" for index, words in enumerate(lists)]
    if math.prod(map(len, lists)) > MAX_POINTS:
        return
    assert overrides(*arguments) == [
        tuple(f"s.k{index}={word}" for index, word in enumerate(point))
        for point in itertools.product(*lists)
    ]


@given(st.lists(st.text(), max_size=3))
def test_any_text_gives_points_or_a_sentence(arguments):
    try:
        points = expand_grid(arguments)
    except ConfigError as error:
        assert all(isinstance(problem, str) for problem in error.args)
    else:
        assert all(len(point.overrides) == len(arguments) for point in points)
