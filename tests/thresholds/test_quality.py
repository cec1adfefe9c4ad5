import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.objectives import threshold_for_quality
from difficulty.thresholds.policy_curve import PolicyCurve
from tests.thresholds.conftest import NAN, reached, scored, sent_at
from tests.thresholds.test_policy_curve import REQUESTS

FIVE = [0.9, 0.7, 0.5, 0.3, 0.1]


@pytest.mark.parametrize(
    ("target", "threshold"),
    [(0.01, 0.8), (0.25, 0.8), (0.26, 0.4), (0.5, 0.4), (0.75, 0.2), (1.0, 0.05)],
)
def test_quality_by_hand(target, threshold):
    """Gains 1, 0, 1, 1, 1 from the highest score down: every quarter of the gap has its price, and
    an exact target is not overpaid.
    """
    curve = PolicyCurve.of(scored(FIVE, gain=[1, 0, 1, 1, 1]))
    assert threshold_for_quality(curve, target) == pytest.approx(threshold)


def test_cheapest_point_is_taken_where_the_curve_comes_back_down():
    """Gains 1, 1, -1, 1 recover 0.5, 1, 0.5, 1 of the gap: two requests are enough for all of
    it.
    """
    traffic = scored(FIVE[:4], gain=[1, 1, -1, 1])
    assert sent_at(traffic, threshold_for_quality(PolicyCurve.of(traffic), 1.0)).tolist() == [
        1,
        1,
        0,
        0,
    ]


def test_ties_at_the_cut_are_all_sent_or_none():
    traffic = scored([0.5, 0.5, 0.2], gain=[1, 1, 1])
    assert sent_at(traffic, threshold_for_quality(PolicyCurve.of(traffic), 0.4)).tolist() == [
        1,
        1,
        0,
    ]


def test_gap_that_easy_tasks_lose_cannot_be_recovered():
    """One of three requests that gain is an easy task; the nearest quality that the message names
    can be asked for.
    """
    traffic = scored([0.9, 0.5, 0.1], gain=[1, 1, 1], fixed=[NAN, 0, NAN])
    with pytest.raises(
        NotAttainableError,
        match=r"recovering 0\.9 of the quality gap cannot be reached: .* out of easy_tasks",
    ) as caught:
        threshold_for_quality(PolicyCurve.of(traffic), 0.9)
    nearest = float(re.search(r"Nearest: quality=(\d\.\d+)\. ", str(caught.value))[1])
    assert nearest == 0.666
    assert sent_at(traffic, threshold_for_quality(PolicyCurve.of(traffic), nearest)).tolist() == [
        1,
        0,
        1,
    ]


def test_no_nearest_point_is_named_where_nothing_can_be_recovered():
    curve = PolicyCurve.of(scored([0.9, 0.5], gain=[-0.5, 1], fixed=[NAN, 0]))
    with pytest.raises(
        NotAttainableError,
        match=r"the most is 0\.000, as .* lose the rest\. Take tasks out of easy_tasks\.$",
    ):
        threshold_for_quality(curve, 0.5)


@pytest.mark.parametrize("target", [0.0, -1, 1.01, 90, NAN])
def test_quality_is_a_share_of_the_gap(target):
    with pytest.raises(
        InvalidValueError,
        match=r"quality must be in \(0, 1\]: got .* It is the share of the quality gap to recover",
    ):
        threshold_for_quality(PolicyCurve.of(scored(FIVE, gain=[1] * 5)), target)


@pytest.mark.parametrize("gain", [[NAN, NAN], [0, 0], [-1, 0]])
def test_quality_needs_a_gap(gain):
    with pytest.raises(
        UndefinedMetricError,
        match="objective quality needs samples with both outcomes .* Use the objective share",
    ):
        threshold_for_quality(PolicyCurve.of(scored([0.2, 0.8], gain=gain)), 0.5)


@given(st.lists(REQUESTS, min_size=1, max_size=25), st.floats(0.01, 1))
def test_quality_is_reached_with_as_little_frontier_as_possible(requests, target):
    """Against brute force over every threshold that tells the scores apart."""
    score, gain, fixed, weight = zip(*requests, strict=True)
    traffic = scored(score, gain=gain, fixed=fixed, weight=weight)
    every = [reached(traffic, threshold) for threshold in {*score, 0.0, 1.0}]
    try:
        share, recovered = reached(traffic, threshold_for_quality(PolicyCurve.of(traffic), target))
    except UndefinedMetricError:
        assert sum(w * g for w, g in zip(weight, gain, strict=True) if g == g) <= 0
    except NotAttainableError as error:
        assert max(found for _, found in every) < target
        if nearest := re.search(r"quality=(\d\.\d+)\. Ask", str(error)):
            threshold = threshold_for_quality(PolicyCurve.of(traffic), float(nearest[1]))
            assert reached(traffic, threshold)[1] >= float(nearest[1]) - 1e-9
    else:
        assert recovered >= target - 1e-9
        assert share == pytest.approx(
            min(sent for sent, found in every if found >= target - 1e-12), abs=1e-9
        )
