"""AUROC and ranks inside folds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics import auroc, rank_within


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
