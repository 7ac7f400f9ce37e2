"""Packed numbers are the numbers, as exactly as their unit says."""

import base64

import numpy as np
import pytest

from meta_rl.reporting.report.packing import pack, rounded


def unpack(packed):
    integers = np.frombuffer(base64.b64decode(packed["data"]), dtype=f"<i{packed['bits'] // 8}")
    return integers * packed["unit"]


@pytest.mark.parametrize(("bits", "reach"), [(16, 32.0), (32, 1e5)])
def test_packed_numbers_come_back_within_half_a_unit(bits, reach):
    values = np.random.default_rng(0).uniform(-reach, reach, (7, 3))
    returned = unpack(pack(values, unit=0.001, bits=bits))
    np.testing.assert_allclose(returned, values.ravel(), atol=0.000_501)


def test_what_does_not_fit_becomes_the_nearest_that_does():
    # 16 bits hold -32768 ... 32767 units.
    packed = pack(np.array([-1e9, 1e9]), unit=0.5, bits=16)
    assert unpack(packed).tolist() == [-16384.0, 16383.5]


def test_rounded_numbers_keep_their_shape_and_say_none_for_what_is_no_number():
    values = np.array([[1.23456, np.nan], [np.inf, -2.0]])
    assert rounded(values, 2) == [[1.23, None], [None, -2.0]]
