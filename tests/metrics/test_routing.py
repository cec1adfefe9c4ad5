"""Who is sent when a share of the requests is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.metrics import cost_quality_curve, quality_at_share, sent_at_share


def test_ties_at_the_cut_share_what_is_left():
    """Two of five requests: the first, and one of the two tied after it."""
    assert sent_at_share([0.9, 0.5, 0.5, 0.1, 0.0], 0.4) == pytest.approx([1.0, 0.5, 0.5, 0.0, 0.0])


def test_a_share_in_percent_is_refused():
    with pytest.raises(InvalidValueError, match=r"share must be in \[0, 1\]: got 40"):
        sent_at_share([0.1, 0.2], 40)


routed = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from([-1.0, 0.0, 1.0]), st.integers(1, 3)),
    min_size=1,
    max_size=30,
)


@given(routed, st.floats(0.0, 1.0))
def test_sending_a_share_gives_the_quality_of_the_curve(rows, share):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    sent = sent_at_share(score, share, weight=weight)
    assert np.average(sent, weights=weight) == pytest.approx(share, abs=1e-12)
    shares, quality = cost_quality_curve(score, np.zeros(len(gain)), gain, weight=weight)
    assert np.average(sent * gain, weights=weight) == pytest.approx(
        quality_at_share(shares, quality, share=share), abs=1e-9
    )
