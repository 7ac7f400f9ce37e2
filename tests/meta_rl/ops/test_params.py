"""Parameters as one vector, and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from meta_rl.ops.params import ravel, repeat_per_task, unravel

PARAMS = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor([7.0]), "c": torch.tensor(8.0)}


def test_in_the_order_of_the_dictionary():
    assert_close(ravel(PARAMS), torch.tensor([0.0, 1, 2, 3, 4, 5, 7, 8]))


def test_unravel_names_and_shapes():
    params = unravel(torch.arange(8.0) + 1, PARAMS)
    assert list(params) == ["b", "a", "c"]
    assert_close(params["b"], torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    assert_close(params["a"], torch.tensor([7.0]))
    assert_close(params["c"], torch.tensor(8.0))


@pytest.mark.parametrize("size", [7, 9])
def test_a_vector_of_another_length_is_refused(size):
    with pytest.raises(RuntimeError):
        unravel(torch.zeros(size), PARAMS)


@given(shapes=st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=5))
@settings(deadline=None, max_examples=25)
def test_there_and_back(shapes):
    params = {f"p{i}": torch.randn(shape) for i, shape in enumerate(shapes)}
    back = unravel(ravel(params), params)
    assert list(back) == list(params)
    for name, value in params.items():
        assert back[name].shape == value.shape
        assert torch.equal(back[name], value)


def test_repeat_per_task():
    repeated = repeat_per_task(PARAMS, 4)
    assert {name: value.shape for name, value in repeated.items()} == {
        "b": (4, 2, 3),
        "a": (4, 1),
        "c": (4,),
    }
    for name, value in PARAMS.items():
        assert all(torch.equal(x, value) for x in repeated[name])
        assert repeated[name].data_ptr() == value.data_ptr()
