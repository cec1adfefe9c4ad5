"""The length of a request."""

import numpy as np
import pytest

from difficulty.channels.length import LengthChannel


def test_length_by_hand():
    """Logarithms 0, 1 and 2 have mean 1 and standard deviation sqrt(2/3)."""
    channel = LengthChannel()
    prepared = channel.prepare([[0] * 0, [0] * 4, [0] * 9])
    assert prepared.ravel().tolist() == [0, 4, 9]
    state = channel.fit(np.expm1([[0.0], [1.0], [2.0]]))
    assert state == pytest.approx([1.0, np.sqrt(2 / 3)])
    vectors = channel.transform(np.expm1([[1.0], [2.0], [9.0], [0.0]]), state)
    expected = [0.0, np.sqrt(1.5), 3.0, -np.sqrt(1.5)]
    assert vectors == pytest.approx(np.column_stack([expected, np.square(expected) - 1]))


def test_length_of_requests_that_are_all_alike_is_no_division_by_zero():
    channel = LengthChannel()
    prepared = channel.prepare([[1, 2]] * 5)
    assert channel.transform(prepared, channel.fit(prepared)).tolist() == [[0.0, -1.0]] * 5
