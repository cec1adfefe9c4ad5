import re

import pytest

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.objectives import threshold_for_mean_quality
from difficulty.thresholds.policy_curve import PolicyCurve
from tests.thresholds.conftest import NAN, scored, sent_at

SCORES = [0.8, 0.6, 0.4, 0.2]


@pytest.mark.parametrize(
    ("target", "sent"), [(0.0, 0), (0.25, 0), (0.26, 1), (0.5, 1), (0.51, 3), (0.75, 3)]
)
def test_mean_quality_by_hand(target, sent):
    """The cheap model has a mean of 1/4; from the highest score down the frontier model adds 1, 0,
    1 and nothing.
    """
    traffic = scored(SCORES, cheap=[0, 0, 0, 1], gain=[1, 0, 1, 0])
    assert (
        sent_at(traffic, threshold_for_mean_quality(PolicyCurve.of(traffic), target)).sum() == sent
    )


def test_mean_quality_counts_the_fallback():
    """A validator that catches every failure keeps all the quality without sending anything."""
    traffic = scored(SCORES, cheap=[0, 0, 0, 1], gain=[1, 0, 1, 0], catch_rate=1.0)
    assert sent_at(traffic, threshold_for_mean_quality(PolicyCurve.of(traffic), 0.75)).sum() == 0


def test_mean_quality_that_no_threshold_reaches():
    """The nearest that the message names can be asked for."""
    curve = PolicyCurve.of(scored(SCORES, cheap=[0, 0, 0, 1], gain=[1, 0, 0.777, 0]))
    with pytest.raises(
        NotAttainableError,
        match=r"a mean quality of 0\.9 cannot be reached: the most along .* is 0\.6943",
    ) as caught:
        threshold_for_mean_quality(curve, 0.9)
    nearest = float(re.search(r"Nearest: mean_quality=(\d\.\d+)\.$", str(caught.value))[1])
    assert threshold_for_mean_quality(curve, nearest) == pytest.approx(0.3)


def test_mean_quality_needs_both_outcomes():
    with pytest.raises(
        UndefinedMetricError, match="objective mean_quality needs samples with both qualities known"
    ):
        threshold_for_mean_quality(PolicyCurve.of(scored(SCORES, gain=[1, 0, 1, 0])), 0.5)


@pytest.mark.parametrize("target", [-0.1, 1.1, 75, NAN])
def test_mean_quality_is_a_quality(target):
    with pytest.raises(InvalidValueError, match=r"mean_quality must be in \[0, 1\]"):
        threshold_for_mean_quality(
            PolicyCurve.of(scored(SCORES, cheap=[0] * 4, gain=[1] * 4)), target
        )
