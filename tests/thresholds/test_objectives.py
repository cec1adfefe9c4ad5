import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.thresholds.objectives import threshold_for_share
from difficulty.thresholds.policy_curve import PolicyCurve
from tests.thresholds.conftest import NAN, reached, scored, sent_at
from tests.thresholds.test_policy_curve import REQUESTS

SIX = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]


@pytest.mark.parametrize(
    ("share", "threshold"),
    [(0.0, 0.95), (0.1, 0.95), (1 / 6, 0.85), (0.2, 0.85), (0.5, 0.5), (0.99, 0.15), (1.0, 0.05)],
)
def test_share_by_hand(share, threshold):
    """Six requests: the budget buys whole requests, and an exact budget is used up."""
    assert threshold_for_share(PolicyCurve.of(scored(SIX)), share) == pytest.approx(threshold)


def test_ties_at_the_cut_all_stay_cheap():
    """Half the budget, but three of four requests are tied: one is sent."""
    traffic = scored([0.9, 0.5, 0.5, 0.5])
    assert reached(traffic, threshold_for_share(PolicyCurve.of(traffic), 0.5))[0] == 0.25


def test_budget_includes_what_the_task_rules_send():
    traffic = scored(SIX, fixed=[1, NAN, NAN, NAN, NAN, 0])
    threshold = threshold_for_share(PolicyCurve.of(traffic), 0.5)
    assert sent_at(traffic, threshold).tolist() == [1, 0, 0, 1, 1, 0]


def test_budget_below_the_task_rules_cannot_be_met():
    """Two of six requests are always sent; the nearest share that the message names can be asked
    for.
    """
    curve = PolicyCurve.of(scored(SIX, fixed=[1, 1, NAN, NAN, NAN, NAN]))
    with pytest.raises(
        NotAttainableError,
        match=r"a frontier share of at most 0\.3 cannot be reached: .* out of hard_tasks",
    ) as caught:
        threshold_for_share(curve, 0.3)
    nearest = float(re.search(r"Nearest: share=(\d\.\d+)\. ", str(caught.value))[1])
    assert nearest == 0.334
    assert threshold_for_share(curve, nearest) == curve.thresholds[0]


@pytest.mark.parametrize("share", [-0.1, 1.1, 30, NAN])
def test_share_is_a_fraction(share):
    with pytest.raises(
        InvalidValueError,
        match=r"share must be in \[0, 1\]: got .* Shares are fractions, not percentages",
    ):
        threshold_for_share(PolicyCurve.of(scored(SIX)), share)


@given(st.lists(REQUESTS, min_size=1, max_size=25), st.floats(0, 1))
def test_share_is_kept_and_used_up(requests, share):
    """Against brute force over every threshold that tells the scores apart: none sends more within
    the budget.
    """
    score, gain, fixed, weight = zip(*requests, strict=True)
    traffic = scored(score, gain=gain, fixed=fixed, weight=weight)
    every = [reached(traffic, threshold)[0] for threshold in {*score, 0.0, 1.0}]
    within = [found for found in every if found <= share + 1e-9]
    try:
        found = reached(traffic, threshold_for_share(PolicyCurve.of(traffic), share))[0]
    except NotAttainableError as error:
        assert min(every) > share
        nearest = float(re.search(r"share=(\d\.\d+)\. Ask", str(error))[1])
        assert (
            reached(traffic, threshold_for_share(PolicyCurve.of(traffic), nearest))[0]
            <= nearest + 1e-9
        )
    else:
        assert found <= share + 1e-9
        assert found == pytest.approx(max(within), abs=1e-9)


def test_rounding_in_another_runtime_moves_no_request():
    """The threshold lies midway between two scores."""
    scores = np.array([0.61234567, 0.61244567])
    threshold = threshold_for_share(PolicyCurve.of(scored(scores)), 0.5)
    assert np.abs(scores - threshold).min() == pytest.approx(5e-5)
