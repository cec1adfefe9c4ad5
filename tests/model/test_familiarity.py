"""How familiar a request is."""

import numpy as np
import pytest
import scipy.sparse as sp

from difficulty.model.familiarity import (
    Familiarity,
    Known,
    Percentile,
    Topic,
    Wording,
    extent_of,
    fit_familiarity,
)

STRAIGHT = Percentile(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def circle(degrees):
    """Return unit vectors at angles of a circle."""
    radians = np.radians(degrees)
    return np.column_stack([np.cos(radians), np.sin(radians)])


def sphere(rng, n, dim=16):
    """Return random unit vectors."""
    vectors = rng.normal(size=(n, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def counts(rows):
    return sp.csr_array(np.array(rows, dtype=float))


def of_topic(fit, calibration):
    return fit_familiarity(Known(fit), Known(calibration), seed=0)


def test_topic_by_hand():
    """The nearest of the centres at 0 and 90 degrees counts."""
    assert Topic(circle([0.0, 90.0]))(circle([60.0, 80.0])) == pytest.approx(
        [np.cos(np.radians(30)), np.cos(np.radians(10))]
    )


def test_wording_by_hand():
    """Two pairs of log shares -1 and -3; the first occurs e times as often as once, so it counts 1
    + ln e = 2 and the second 1.
    """
    wording = Wording(np.array([-1.0, -3.0]))
    assert wording(counts([[np.e, 1.0], [0.0, 1.0], [0.0, 0.0]])) == pytest.approx(
        [-5 / 3, -3.0, -3.0]
    )


def test_less_familiar_measure_decides():
    """Cosine 0.5 and log share -0.2, both mapped as they are (shares from -1 to 0): the smaller
    percentile is the topic's.
    """
    shares = Percentile(np.array([-1.0, 0.0]), np.array([0.0, 1.0]))
    familiarity = Familiarity(
        (Topic(circle([0.0])), STRAIGHT), (Wording(np.array([-0.2])), shares), STRAIGHT
    )
    assert familiarity(circle([60.0, 0.0]), counts([[1.0], [1.0]])) == pytest.approx([0.5, 0.8])


def test_familiarity_is_a_percentile_of_the_calibration_traffic():
    """A tenth of fresh traffic of the same kind lies below 0.1, half below 0.5."""
    rng = np.random.default_rng(0)
    fit, calibration, fresh = (
        Known(sphere(rng, n), counts(rng.poisson(1.0, (n, 40))[:, 10:]))
        for n in (2_000, 2_000, 4_000)
    )
    found = fit_familiarity(fit, calibration, seed=0)(*fresh)
    for share in (0.1, 0.5, 0.9):
        assert (found < share).mean() == pytest.approx(share, abs=0.05)


def test_requests_of_another_kind_are_unfamiliar():
    rng = np.random.default_rng(0)
    familiarity = of_topic(circle(rng.normal(0, 10, 500)), circle(rng.normal(0, 10, 500)))
    assert familiarity(circle([90.0, 180.0, 270.0]), None).max() == 0.0


def test_requests_of_other_words_are_unfamiliar():
    """Pairs 0 to 9 are common in the traffic, pairs 10 to 19 never occur."""
    rng = np.random.default_rng(0)
    rows = np.hstack([rng.poisson(1.0, (400, 10)), np.zeros((400, 10))])
    familiarity = fit_familiarity(
        Known(pairs=counts(rows[:200])), Known(pairs=counts(rows[200:])), seed=0
    )
    assert familiarity(None, counts([[0.0] * 10 + [1.0] * 10])) == [0.0]


def test_nothing_to_measure_by_is_no_familiarity():
    assert fit_familiarity(Known(), Known(), seed=0) is None


def test_equal_requests_make_one_step():
    """Traffic of one text: the same is familiar, anything else is not."""
    familiarity = of_topic(circle([30.0] * 50), circle([30.0] * 50))
    assert familiarity(circle([30.0, 120.0]), None) == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize(
    "raw",
    [
        np.zeros(50),
        np.linspace(0, 1e-4, 50),
        np.r_[np.zeros(40), np.linspace(0, 1, 10)],
        np.arange(50.0),
    ],
)
def test_percentile_is_never_steeper_than_its_step_allows(raw):
    percentile = Percentile.of(raw, least_step=0.01)
    assert np.all(np.diff(percentile.knots) >= 0.01 - 1e-12)
    assert (percentile.values[0], percentile.values[-1]) == (0.0, 1.0)
    assert percentile(np.array([raw.max() + 1, raw.min() - 1])).tolist() == [1.0, 0.0]


def test_ties_have_the_middle_of_their_ranks():
    """A tenth of the traffic is as low as can be: 0.05, so that a bound of 0.06 finds it."""
    raw = np.r_[np.zeros(110), np.linspace(0.5, 1.0, 890)]
    percentile = Percentile.of(raw, least_step=0.01)
    assert percentile(np.array([0.0, -1.0])) == pytest.approx([0.05, 0.0])


def test_an_embedding_without_tokens_is_unfamiliar():
    assert of_topic(circle([0.0, 5.0] * 50), circle([1.0, 4.0] * 50))(np.zeros((1, 2)), None) == [
        0.0
    ]


def test_extent_counts_at_the_long_end_alone():
    """Of lengths 1 to 100 the longest hundredth has 0.01, whatever is longer has 0, and nearly all
    have 1.
    """
    extent = extent_of(np.arange(1.0, 101.0))
    assert extent(-np.array([10.0, 95.0, 99.01, 100.0, 500.0])) == pytest.approx(
        [1.0, 1.0, 0.01, 0.0, 0.0], abs=0.03
    )


def test_extent_of_one_length_flags_what_is_longer():
    assert extent_of(np.full(50, 40.0))(-np.array([40.0, 12.0, 41.0])).tolist() == [1.0, 1.0, 0.0]


def test_added_text_makes_a_request_unfamiliar_though_its_words_are_known():
    """Ten times as long as anything in the traffic, in the traffic's own words."""
    rng = np.random.default_rng(0)

    def requests(n, mean):
        rows = rng.poisson(mean, (n, 40))
        return Known(pairs=counts(rows), lengths=rows.sum(axis=1) + 1.0)

    familiarity = fit_familiarity(requests(500, 1.0), requests(500, 1.0), seed=0)
    fresh, longer = requests(1_000, 1.0), requests(20, 10.0)
    assert (familiarity(*fresh) < 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert familiarity(*longer).max() < 0.02
    without = fit_familiarity(
        requests(500, 1.0)._replace(lengths=None), requests(500, 1.0)._replace(lengths=None), seed=0
    )
    assert without(*longer).min() > 0.02
