import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.thresholds.policy_curve import PolicyCurve
from tests.thresholds.conftest import NAN, reached, scored, sent_at


def test_curve_by_hand():
    """Four requests, gains 1, 0, 1, 0 from the highest score down: half the gap for a quarter of
    the requests, all for three.
    """
    curve = PolicyCurve.of(scored([0.2, 0.8, 0.4, 0.6], gain=[0, 1, 1, 0]))
    assert curve.thresholds == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1])
    assert curve.figure("frontier_share") == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert curve.figure("gap_recovered") == pytest.approx([0, 0.5, 0.5, 1, 1])


def test_tied_scores_move_together():
    curve = PolicyCurve.of(scored([0.5, 0.9, 0.5, 0.5], gain=[1, 1, 0, 0]))
    assert curve.thresholds == pytest.approx([0.95, 0.7, 0.25])
    assert curve.figure("frontier_share") == pytest.approx([0, 0.25, 1])
    assert curve.figure("gap_recovered") == pytest.approx([0, 0.5, 1])


def test_fixed_routes_stay_where_they_are():
    """A hard task is always sent, an easy one never: shares go from 1/5 to 4/5, the gap from 1/4 to
    1/2.
    """
    curve = PolicyCurve.of(
        scored([0.1, 0.99, 0.6, 0.4, 0.2], gain=[1, 1, 0.5, 0.5, 1], fixed=[1, 0, NAN, NAN, NAN])
    )
    assert curve.thresholds == pytest.approx([0.8, 0.5, 0.3, 0.1])
    assert curve.figure("frontier_share") == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert curve.figure("gap_recovered") == pytest.approx([0.25, 0.375, 0.5, 0.75])


def test_all_routes_fixed_leave_one_point():
    curve = PolicyCurve.of(scored([0.3, 0.7], gain=[1, 1], fixed=[1, 0]))
    assert (
        curve.thresholds.tolist(),
        curve.figure("frontier_share").tolist(),
        curve.figure("gap_recovered").tolist(),
    ) == ([0.5], [0.5], [0.5])


def test_weights_count_as_so_many_requests():
    heavy = PolicyCurve.of(scored([0.8, 0.4], gain=[1, 0.5], weight=[1, 3]))
    assert heavy.figure("frontier_share") == pytest.approx([0, 0.25, 1])
    assert heavy.figure("gap_recovered") == pytest.approx([0, 1 / 2.5, 1])


def test_unknown_gains_cost_a_share_but_recover_nothing():
    """The request in the middle has no known outcome: sending it uses up the budget, and the gap is
    that of the others.
    """
    curve = PolicyCurve.of(scored([0.9, 0.5, 0.1], gain=[1, NAN, 1]))
    assert curve.figure("frontier_share") == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert curve.figure("gap_recovered") == pytest.approx([0, 0.5, 0.5, 1])


@pytest.mark.parametrize(
    "gain", [[NAN, NAN], [0, 0], [-1, 0.5]], ids=["unknown", "no gap", "frontier worse"]
)
def test_gap_that_is_none_is_not_recovered(gain):
    assert np.isnan(PolicyCurve.of(scored([0.2, 0.8], gain=gain)).figure("gap_recovered")).all()


def test_ends_of_the_scale():
    """A score of 1 is above every threshold but 1, a score of 0 above none: what cannot be sent is
    no point.
    """
    curve = PolicyCurve.of(scored([1.0, 0.5, 0.0], gain=[1, 1, 1]))
    assert curve.thresholds == pytest.approx([1.0, 0.75, 0.25])
    assert curve.figure("frontier_share") == pytest.approx([0, 1 / 3, 2 / 3])


def test_neighbouring_floats_are_kept_apart():
    """Their midpoint rounds to one of them; sending the upper alone needs the lower as the
    threshold.
    """
    for upper in (0.5, float(np.nextafter(0.5, 1)), 1e-300, 1.0):
        lower = float(np.nextafter(upper, 0))
        traffic = scored([upper, lower], gain=[1, 1])
        point = PolicyCurve.of(traffic)
        assert sent_at(traffic, point.thresholds[1]).tolist() == [1, 0]


SCORES = st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 0.5, 0.75, 1.0])
REQUESTS = st.tuples(
    SCORES,
    st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0, NAN]),
    st.sampled_from([NAN, NAN, NAN, 0.0, 1.0]),
    st.sampled_from([0.5, 1.0, 3.0]),
)


@given(st.lists(REQUESTS, min_size=1, max_size=25))
def test_every_point_does_what_it_promises(requests):
    score, gain, fixed, weight = zip(*requests, strict=True)
    traffic = scored(score, gain=gain, fixed=fixed, weight=weight)
    curve = PolicyCurve.of(traffic)
    assert (np.diff(curve.thresholds) <= 0).all()
    assert (np.diff(curve.figure("frontier_share")) > 0).all()
    for threshold, share, recovered in zip(
        curve.thresholds, curve.figure("frontier_share"), curve.figure("gap_recovered"), strict=True
    ):
        assert 0.0 <= threshold <= 1.0
        assert (share, recovered) == pytest.approx(
            reached(traffic, threshold), abs=1e-9, nan_ok=True
        )


@given(st.lists(REQUESTS, min_size=1, max_size=25), SCORES)
def test_no_threshold_does_what_no_point_does(requests, threshold):
    score, gain, fixed, weight = zip(*requests, strict=True)
    traffic = scored(score, gain=gain, fixed=fixed, weight=weight)
    share, _ = reached(traffic, threshold)
    assert np.isclose(PolicyCurve.of(traffic).figure("frontier_share"), share, atol=1e-9).any()


def test_sent_keeps_ties_cheap():
    traffic = scored([0.5, 0.6, 0.9, 0.1], fixed=[NAN, NAN, 0, 1])
    assert sent_at(traffic, 0.5).tolist() == [0, 1, 0, 1]
    assert sent_at(traffic, 0.6).tolist() == [0, 0, 0, 1]


def test_scored_traffic_needs_scores():
    with pytest.raises(
        TooFewSamplesError, match="choosing a threshold needs scored samples: got none"
    ):
        scored([])
    with pytest.raises(
        InvalidValueError, match="difficulty_score must hold no NaN and no infinity: got '1 of 2'"
    ):
        scored([0.5, NAN])
