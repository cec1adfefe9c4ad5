"""The table of figures, each worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import UnknownNameError
from difficulty.evaluation.figures import FIGURES, columns_of
from difficulty.evaluation.scored import Thresholds
from tests.evaluation.conftest import outcomes_of, scored_of

nan = np.nan
SCORE = [0.9, 0.8, 0.5, 0.4, 0.1]
FAILS = [1, 0, 1, 1, 0]


def value_of(name, scored, threshold=0.5):
    sent, rows = scored.routes(Thresholds(threshold)), np.arange(len(scored))
    return float(columns_of(scored, [name])[name].at(sent, rows).value(scored.outcomes.weight))


def failing(fails, **changes):
    """Return requests that need the frontier model where the cheap one fails."""
    cheap = 1.0 - np.asarray(fails, dtype=float)
    return scored_of(SCORE, cheap, np.ones(5), target="failure", **changes)


def test_figures_at_a_threshold_by_hand():
    """Two requests are sent, one rightly; three are kept, of which two needed the frontier model
    (one is tied and stays cheap).
    """
    scored = failing(FAILS)
    assert value_of("routing_precision", scored) == pytest.approx(1 / 2)
    assert value_of("routing_recall", scored) == pytest.approx(1 / 3)
    assert value_of("cheap_route_precision", scored) == pytest.approx(1 / 3)
    assert value_of("cheap_route_recall", scored) == pytest.approx(1 / 2)


def test_risk_counts_what_both_models_fail():
    """The last request is failed by both models: it did not need the frontier model, yet it is at
    risk.
    """
    scored = scored_of(SCORE, [0, 1, 0, 0, 0], [1, 1, 1, 1, 0])
    assert value_of("risk", scored) == pytest.approx(1.0)
    assert value_of("cheap_route_precision", scored) == pytest.approx(1 / 3)


def test_what_is_at_stake_by_hand():
    """Three of five are kept: the frontier model does better on two of them; each kept request
    saves 3 of 4 USD.
    """
    costs = {"cheap_cost": np.full(5, 0.001), "frontier_cost": np.full(5, 0.004)}
    scored = scored_of(SCORE, [0, 1, 0, 0.5, 1], [1, 1, 1, 1, 0], **costs)
    assert value_of("answers_worse", scored) == pytest.approx(2 / 5)
    assert value_of("calls_avoided", scored) == pytest.approx(3 / 5)
    assert value_of("saved_cost", scored) == pytest.approx(3 * 3 / 5)
    caught = scored_of(SCORE, [0, 1, 0, 1, 1], [1, 1, 1, 1, 1], catch_rate=0.5, **costs)
    assert value_of("answers_worse", caught) == pytest.approx(0.5 / 5)
    assert value_of("calls_avoided", caught) == pytest.approx(2.5 / 5)
    by_votes = scored_of(SCORE, [0] * 5, [nan] * 5, target="failure")
    assert np.isnan(value_of("answers_worse", by_votes))


def test_weights_count_as_so_many_requests():
    scored = scored_of(
        [0.9, 0.8], [0, 1], [1, 1], outcomes=outcomes_of([0, 1], [1, 1], weight=[3, 1])
    )
    assert value_of("routing_precision", scored) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("name", "threshold", "fails"),
    [
        ("routing_precision", 1.0, FAILS),
        ("cheap_route_precision", 0.0, FAILS),
        ("risk", 0.0, FAILS),
        ("routing_recall", 0.5, [0] * 5),
    ],
)
def test_an_empty_route_has_no_figure(name, threshold, fails):
    assert np.isnan(value_of(name, failing(fails), threshold))


COUNTS_REQUESTS = {"frontier_share": [0, 1, 1, 1], "calls_avoided": [1, 1, 0, 1]}
"""Figures that need no outcome, and what they know of a request."""


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_leaves_out_what_is_not_known(name):
    """Of a request without outcomes and costs a figure knows at most that it is there."""
    columns = columns_of(scored_of([0.5], [nan], [nan]), [name])[name]
    numbers = [float(part[0]) for part in (*columns.kept, *columns.sent)]
    assert numbers == COUNTS_REQUESTS.get(name, [0, 0, 0, 0])


def test_an_unknown_figure_is_refused_with_the_known():
    with pytest.raises(UnknownNameError, match="unknown figure 'shares'. Known: .*frontier_share"):
        columns_of(scored_of([0.5], [1], [1]), ["shares"])


requests = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0]), st.integers(1, 3)),
    min_size=1,
    max_size=30,
)


@given(requests)
def test_the_two_routes_account_for_every_need(rows):
    """Needs sent plus needs kept are all needs."""
    score, fails, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    scored = scored_of(
        score / 4,
        1 - fails,
        np.ones(len(fails)),
        target="failure",
        outcomes=outcomes_of(1 - fails, np.ones(len(fails)), weight=weight),
    )
    sent = scored.routes(Thresholds(0.5))
    if 0 < sent.sum() < len(sent):
        hit = value_of("routing_precision", scored) * (weight @ sent)
        missed = (1 - value_of("cheap_route_precision", scored)) * (weight @ (1 - sent))
        assert hit + missed == pytest.approx(weight @ fails)
