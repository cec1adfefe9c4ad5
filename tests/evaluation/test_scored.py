"""What is scored."""

import numpy as np
import pytest

from difficulty.errors import InvalidValueError

from .conftest import outcomes_of, scored_of


def test_needed_follows_the_target(four):
    """For benefit: the frontier did better; for failure: the cheap model failed."""
    assert four.needed.tolist() == [1.0, 1.0, 0.0, 0.0]
    failure = scored_of([0.1, 0.2], [0.4, 0.6], [0.0, 1.0], target="failure")
    assert failure.needed.tolist() == [1.0, 0.0]


def test_an_unknown_outcome_stays_unknown():
    cheap, frontier, preferred = [np.nan, 1.0, np.nan], [1.0, np.nan, np.nan], [np.nan, np.nan, 1.0]
    scored = scored_of(
        [0.1, 0.2, 0.3], cheap, frontier, outcomes=outcomes_of(cheap, frontier, preferred=preferred)
    )
    assert np.isnan(scored.needed).tolist() == [True, True, False]


def test_ties_at_the_threshold_stay_cheap():
    assert scored_of([0.5, 0.6], [1, 0], [1, 1], threshold=0.5).sent.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"difficulty_score": np.array([0.1, np.nan])},
            "difficulty_score must hold no NaN and no infinity: got '1 of 2'",
        ),
        ({"difficulty_score": np.array([0.1])}, "difficulty_score must have the shape"),
        ({"p_cheap_fails": np.array([0.1, 1.2])}, r"p_cheap_fails must be in \[0, 1\]: got 1.2"),
        ({"p_frontier_fails": np.array([0.1, np.nan])}, "p_frontier_fails must hold no NaN"),
        ({"tasks": ["code"]}, "tasks must have one entry for each of the 2 requests"),
        ({"labels": {"script": ["Latin"]}}, "labels.'script'. must have one entry"),
        ({"target": "gain"}, "target must be 'benefit' or 'failure'"),
        ({"threshold": 70.0}, "threshold must be a probability"),
        ({"threshold": float("nan")}, "threshold must be a probability"),
    ],
)
def test_bad_columns_are_refused(changes, message):
    with pytest.raises(InvalidValueError, match=message):
        scored_of([0.1, 0.2], [0, 1], [1, 1], **changes)
