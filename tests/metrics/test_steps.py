"""Sums along a ranking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.metrics.curve import area, first_crossing, ranked_area, ranked_crossing


def curve(step, part):
    """Return both shares from 0, as :func:`area` and :func:`first_crossing` take them."""
    upto = [np.append(0.0, np.cumsum(values)) for values in (step, part)]
    return [(values / values[-1])[None, :] for values in upto]


def test_area_and_crossing_by_hand():
    """Gains 1, 0, 1, 0 of four requests: the example of docs/metrics.md."""
    step, part = np.ones((1, 4)), np.array([[1.0, 0.0, 1.0, 0.0]])
    upto = np.cumsum(part, axis=-1)
    assert ranked_area(step, part, upto) == pytest.approx([0.625])
    assert ranked_crossing(np.cumsum(step, axis=-1), upto, 0.5) == pytest.approx([0.25])
    assert ranked_crossing(np.cumsum(step, axis=-1), upto, 0.8) == pytest.approx([0.65])


def test_what_adds_up_to_nothing_has_no_share():
    """Neither a negative nor an empty total."""
    step = np.ones((2, 2))
    part = np.array([[1.0, -2.0], [0.0, 0.0]])
    upto = np.cumsum(part, axis=-1)
    assert np.isnan(ranked_area(step, part, upto)).all()
    assert np.isnan(ranked_crossing(np.cumsum(step, axis=-1), upto, 0.5)).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 3)), min_size=1, max_size=30),
    st.sampled_from([0.1, 0.5, 0.8, 1.0]),
)
def test_fewer_passes_give_the_same(steps, level):
    """Area and crossing are those of the plain functions, draws that leave requests out
    included.
    """
    weight, gain = np.array(steps, dtype=float).T
    part = weight * gain
    if weight.sum() <= 0 or part.sum() <= 0:
        return
    share, recovered = curve(weight, part)
    upto, sent = np.cumsum(part)[None, :], np.cumsum(weight)[None, :]
    assert ranked_area(weight[None, :], part[None, :], upto) == pytest.approx(
        area(share, recovered)
    )
    assert ranked_crossing(sent, upto, level) == pytest.approx(
        first_crossing(share, recovered, level)
    )
