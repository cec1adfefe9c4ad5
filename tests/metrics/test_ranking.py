"""The curve along a ranking, its area and crossings, AUROC, and ranks inside folds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics.ranking import (
    Ranking,
    area,
    auroc,
    first_crossing,
    gap_curve,
    rank_within,
    ranked_area,
    ranked_crossing,
)
from tests.reference import (
    average_gap_recovered,
    calls_for_gap,
    cost_quality_curve,
    gap_recovered,
    quality_at_share,
)

# Four requests, best score first: gains 1, 0, -1, 1; cheap quality 0.25, frontier quality 0.5.
SCORE = np.array([0.2, 0.9, 0.4, 0.6])
CHEAP = np.array([0.0, 0.0, 1.0, 0.0])
FRONTIER = np.array([1.0, 1.0, 0.0, 0.0])


def curve_of(score, gain, weight=None):
    """Return frontier share and PGR."""
    ranking, gain = Ranking.of(np.asarray(score, dtype=float)), np.asarray(gain, dtype=float)
    weight = np.ones(len(gain)) if weight is None else np.asarray(weight, dtype=float)
    return gap_curve(ranking, gain[ranking.order], weight)


def apgr_of(score, gain, weight=None):
    return float(area(*curve_of(score, gain, weight)))


requests = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.integers(1, 3)),
    min_size=1,
    max_size=30,
).filter(lambda rows: sum(gain * weight for _, gain, weight in rows) > 0)


def test_curve_of_four_requests():
    """Requests move to the frontier model highest score first; half of the gap is recovered after
    an eighth of them.
    """
    share, recovered = curve_of(SCORE, FRONTIER - CHEAP)
    assert share == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert recovered == pytest.approx([0.0, 1.0, 1.0, 0.0, 1.0])
    assert area(share, recovered) == pytest.approx(0.625)
    assert first_crossing(share, recovered, 0.5) == pytest.approx(0.125)
    assert first_crossing(share, recovered, 1.0) == pytest.approx(0.25)


def test_plain_formulas_of_four_requests():
    """What other tests hold figures against, by hand."""
    share, quality = cost_quality_curve(SCORE, CHEAP, FRONTIER, weight=[1, 2, 1, 1])
    assert share == pytest.approx([0.0, 0.4, 0.6, 0.8, 1.0])
    assert quality == pytest.approx([0.2, 0.6, 0.6, 0.4, 0.6])
    assert quality_at_share(share, quality, share=0.2) == pytest.approx(0.4)
    ends = {"cheap_quality": 0.2, "frontier_quality": 0.6}
    assert gap_recovered(0.4, **ends) == pytest.approx(0.5)
    assert average_gap_recovered([0.0, 0.5, 1.0], [0.2, 0.4, 0.6], **ends) == pytest.approx(0.5)
    assert calls_for_gap(share, quality, target=0.5, **ends) == pytest.approx(0.2)


def test_crossing_is_the_first_of_a_curve_that_falls_again():
    """Interpolating over the whole of a non-monotone curve would find another crossing."""
    share, recovered = np.array([0.0, 0.2, 0.4, 0.9, 1.0]), np.array([0.0, 0.8, 0.1, 0.4, 1.0])
    assert first_crossing(share, recovered, 0.4) == pytest.approx(0.1)


def test_crossing_is_nan_when_the_curve_never_reaches_the_level():
    assert np.isnan(first_crossing(np.array([0.0, 0.5]), np.array([0.0, 0.3]), 0.8))


def test_tied_scores_are_one_step():
    share, recovered = curve_of([1.0, 0.5, 0.5, 0.0], [1.0, 1.0, 0.0, 0.0])
    assert share == pytest.approx([0.0, 0.25, 0.75, 1.0])
    assert recovered == pytest.approx([0.0, 0.5, 1.0, 1.0])


def test_a_frontier_model_that_is_not_better_leaves_apgr_undefined():
    assert np.isnan(apgr_of([0.1, 0.2], [0.0, 0.0]))
    assert np.isnan(apgr_of([0.1, 0.2], [1.0, -2.0]))


@given(requests)
def test_curve_is_that_of_the_plain_formula(rows):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    share, quality = cost_quality_curve(score, np.zeros(len(gain)), gain, weight=weight)
    got_share, recovered = curve_of(score, gain, weight)
    assert got_share == pytest.approx(share)
    assert recovered == pytest.approx(quality / quality[-1])


@given(requests)
def test_apgr_depends_on_the_order_of_scores_only(rows):
    """A strictly increasing transform of the score changes nothing, nor does the order of the
    requests.
    """
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    value = apgr_of(score, gain, weight)
    assert apgr_of(np.exp(score), gain, weight) == pytest.approx(value)
    assert apgr_of(score[::-1], gain[::-1], weight[::-1]) == pytest.approx(value)


@given(requests)
def test_whole_weights_are_copies_on_the_curve(rows):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    times = weight.astype(int)
    share, recovered = curve_of(score, gain, weight)
    copied_share, copied_recovered = curve_of(np.repeat(score, times), np.repeat(gain, times))
    assert share == pytest.approx(copied_share)
    assert recovered == pytest.approx(copied_recovered)


@given(requests)
def test_equal_scores_are_one_step_and_recover_half_the_gap(rows):
    _, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    share, _ = curve_of(np.full(len(gain), 0.3), gain, weight)
    assert share == pytest.approx([0.0, 1.0])
    assert apgr_of(np.full(len(gain), 0.3), gain, weight) == pytest.approx(0.5)


@given(requests)
def test_a_reversed_score_mirrors_apgr(rows):
    """Sending last what was sent first recovers what was left: the two add up to 1."""
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert apgr_of(score, gain, weight) + apgr_of(-score, gain, weight) == pytest.approx(1.0)


@given(requests)
def test_no_score_beats_the_gain_itself(rows):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert apgr_of(score, gain, weight) <= apgr_of(gain, gain, weight) + 1e-9


@given(requests, st.floats(0.01, 1.0))
def test_crossing_is_the_smallest_share_that_reaches_the_level(rows, level):
    """The curve reaches the level there and lies below it before."""
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    share, recovered = curve_of(score, gain, weight)
    crossing = first_crossing(share, recovered, level)
    assert np.interp(crossing, share, recovered) == pytest.approx(level)
    assert (recovered[share < crossing - 1e-9] <= level + 1e-9).all()


def shares_of(step, part):
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
    share, recovered = shares_of(weight, part)
    upto, sent = np.cumsum(part)[None, :], np.cumsum(weight)[None, :]
    assert ranked_area(weight[None, :], part[None, :], upto) == pytest.approx(
        area(share, recovered)
    )
    assert ranked_crossing(sent, upto, level) == pytest.approx(
        first_crossing(share, recovered, level)
    )


def test_auroc_of_four_requests():
    """Of the four pairs three are in the right order."""
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == pytest.approx(0.75)


def test_ties_count_half():
    """Pairs: one right, one tied, one right, one wrong."""
    assert auroc([0.5, 0.5, 0.9, 0.6], [0, 1, 1, 0]) == pytest.approx((0.5 + 0.0 + 1.0 + 1.0) / 4)


def test_weights_multiply_the_pairs():
    """The wrong pair weighs 3 of 6."""
    assert auroc([0.2, 0.8, 0.5], [0, 0, 1], weight=[3, 3, 1]) == pytest.approx(0.5)


@pytest.mark.parametrize("label", [[0, 0], [1, 1]])
def test_one_class_has_no_auroc(label):
    with pytest.raises(UndefinedMetricError, match="AUROC needs requests of both labels"):
        auroc([0.1, 0.2], label)


def test_a_soft_label_is_refused():
    with pytest.raises(InvalidValueError, match="label must be 0 or 1: got 0.5"):
        auroc([0.1, 0.2], [0, 0.5])


labelled = st.lists(
    st.tuples(st.integers(-4, 4), st.booleans(), st.integers(1, 3)), min_size=2, max_size=30
).filter(lambda rows: len({label for _, label, _ in rows}) == 2)


@given(labelled)
def test_auroc_is_the_share_of_pairs_in_order(rows):
    score, label, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    above = score[label == 1][:, None] - score[label == 0][None, :]
    pairs = np.outer(weight[label == 1], weight[label == 0])
    expected = (pairs * ((above > 0) + 0.5 * (above == 0))).sum() / pairs.sum()
    assert auroc(score, label, weight=weight) == pytest.approx(expected)
    assert auroc(np.exp(score), label, weight=weight) == pytest.approx(expected)
    assert auroc(-score, label, weight=weight) == pytest.approx(1 - expected)


def test_ranks_are_taken_inside_each_fold():
    """Fold a has three scores, two of them tied; fold b has another offset."""
    ranks = rank_within([0.1, 0.3, 0.3, 7.0, 9.0], ["a", "a", "a", "b", "b"])
    assert ranks == pytest.approx([1 / 6, 2 / 3, 2 / 3, 1 / 4, 3 / 4])


def test_folds_of_equal_scores_stay_tied():
    """A score without information stays without, however the folds differ in size."""
    assert rank_within([1.0, 1.0, 2.0], [0, 0, 1]) == pytest.approx([0.5, 0.5, 0.5])


def test_a_fold_for_each_request_is_asked_for():
    with pytest.raises(InvalidValueError, match="fold must have the shape"):
        rank_within([0.1, 0.2], [0])


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=30))
def test_ranks_are_inside_0_and_1_and_keep_the_order(rows):
    score, fold = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    ranks = rank_within(score, fold)
    assert ((ranks > 0) & (ranks < 1)).all()
    for name in np.unique(fold):
        inside = fold == name
        assert (
            np.sign(np.subtract.outer(score[inside], score[inside]))
            == np.sign(np.subtract.outer(ranks[inside], ranks[inside]))
        ).all()
        assert ranks[inside].mean() == pytest.approx(0.5)
