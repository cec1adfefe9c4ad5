import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from difficulty.channels.heads import LinearHead, fit_head
from difficulty.errors import TooFewSamplesError
from difficulty.metrics import auroc

RNG = np.random.default_rng(11)
VECTORS = RNG.normal(3.0, [1.0, 20.0, 0.01], size=(200, 3))
FAILURE = (VECTORS[:, 0] + RNG.normal(size=200) > 3.0).astype(float)
ONES = np.ones(200)


def same(one, other, tolerance=1e-6):
    assert one.coefficients == pytest.approx(other.coefficients, rel=1e-3, abs=tolerance)
    assert one.intercept == pytest.approx(other.intercept, rel=1e-3, abs=tolerance)


def test_head_by_hand():
    """Vector (1, 2) through coefficients (0.5, -1) and intercept 3."""
    assert LinearHead(np.array([0.5, -1.0]), 3.0).logits(
        np.array([[1.0, 2.0], [0.0, 0.0]])
    ).tolist() == [1.5, 3.0]


@pytest.mark.parametrize(
    ("failure", "rate"), [([1, 1, 1], 3.5 / 4), ([0, 0, 0], 0.5 / 4), ([0, np.nan, np.nan], 0.25)]
)
def test_head_of_one_outcome_is_constant_near_its_rate(failure, rate):
    """Half a sample is added to either side; unknown outcomes do not count."""
    head = fit_head(VECTORS[:3], np.array(failure, dtype=float), ONES[:3], strength=1.0)
    assert head.logits(VECTORS[:2]) == pytest.approx(np.full(2, logit(rate)))


def test_head_on_dense_vectors_is_logistic_regression_on_standardised_ones():
    head = fit_head(VECTORS, FAILURE, ONES, strength=0.1)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8)).fit(
        VECTORS, FAILURE
    )
    assert head.logits(VECTORS) == pytest.approx(reference.decision_function(VECTORS), abs=5e-3)


def test_head_on_sparse_vectors_is_logistic_regression_on_them_as_they_are():
    vectors = sp.csr_array(np.where(VECTORS > 3, VECTORS / 20, 0))
    head = fit_head(vectors, FAILURE, ONES, strength=0.1)
    reference = LogisticRegression(C=0.1, tol=1e-8).fit(vectors, FAILURE)
    assert head.logits(vectors) == pytest.approx(reference.decision_function(vectors), abs=5e-3)


def test_head_counts_a_graded_outcome_with_its_share_on_both_sides():
    """A failure of 0.25 is one sample in four that failed."""
    graded = np.where(np.arange(200) % 5 == 0, 0.25, FAILURE)
    copies = np.repeat(np.arange(200), 4)
    hard = np.where(copies % 5 == 0, np.tile([1.0, 0.0, 0.0, 0.0], 200), FAILURE[copies])
    same(
        fit_head(VECTORS, graded, ONES, strength=1.0),
        fit_head(VECTORS[copies], hard, np.full(800, 0.25), strength=1.0),
        2e-3,
    )


def test_head_counts_a_sample_of_weight_2_twice():
    twice = np.r_[np.arange(200), np.arange(50)]
    sparse = sp.csr_array(VECTORS / 20)
    weighted = fit_head(sparse, FAILURE, np.where(np.arange(200) < 50, 2.0, 1.0), strength=1.0)
    same(weighted, fit_head(sparse[twice], FAILURE[twice], np.ones(250), strength=1.0), 2e-3)


def test_head_ignores_rows_whose_outcome_is_unknown():
    """Missing is not zero: the head is the one of the known rows, their scaling included."""
    known = np.arange(200) % 3 > 0
    failure = np.where(known, FAILURE, np.nan)
    same(
        fit_head(VECTORS, failure, ONES, strength=1.0),
        fit_head(VECTORS[known], FAILURE[known], ONES[known], strength=1.0),
    )


def test_head_leaves_out_a_column_that_never_changes():
    vectors = np.column_stack([VECTORS, np.full(200, 7.0)])
    head = fit_head(vectors, FAILURE, ONES, strength=1.0)
    assert head.coefficients[3] == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(head.intercept)


def test_head_without_a_known_outcome_is_refused():
    with pytest.raises(TooFewSamplesError, match="a head needs outcomes: got none that are known"):
        fit_head(VECTORS, np.full(200, np.nan), ONES, strength=1.0)


def test_head_from_an_earlier_one_shrinks_towards_it():
    """With next to no freedom of its own it is the earlier head, but for the intercept."""
    earlier = fit_head(VECTORS, FAILURE, ONES, strength=1.0)
    rare = FAILURE * (np.arange(200) % 3 == 0)
    head = fit_head(VECTORS, rare, np.full(200, 1e-6), strength=1.0, start=earlier)
    assert head.coefficients == pytest.approx(earlier.coefficients, rel=1e-3, abs=1e-6)


def test_head_from_an_earlier_one_learns_how_much_of_it_to_keep():
    """Many labels of the opposite outcome turn it round."""
    vectors = sp.csr_array(np.column_stack([VECTORS[:, 0] - 3.0, VECTORS[:, 1] / 20]))
    earlier = fit_head(vectors, FAILURE, ONES, strength=1.0)
    head = fit_head(vectors, 1.0 - FAILURE, np.full(200, 50.0), strength=1.0, start=earlier)
    same(head, fit_head(vectors, 1.0 - FAILURE, np.full(200, 50.0), strength=1.0), 0.2)


def test_head_from_an_earlier_one_needs_fewer_labels():
    """Ten labels and what was learned for another outcome of the same kind, against ten labels
    alone, on sparse vectors.
    """
    rng = np.random.default_rng(0)
    vectors = sp.csr_array(rng.random((2_000, 300)) * (rng.random((2_000, 300)) < 0.1))
    logits = vectors @ rng.normal(size=300) * 4.0
    old, new = ((rng.random(2_000) < expit(logits * scale)).astype(float) for scale in (1.0, 0.5))
    earlier = fit_head(vectors, old, np.ones(2_000), strength=1.0)
    few = np.arange(10)
    cold, warm = (
        fit_head(vectors[few], new[few], np.ones(10), strength=0.3, start=start)
        for start in (None, earlier)
    )
    assert (
        auroc(warm.logits(vectors[10:]), new[10:])
        > auroc(cold.logits(vectors[10:]), new[10:]) + 0.1
    )


def test_head_from_one_that_knows_nothing_is_the_head_without_it():
    nothing = LinearHead(np.zeros(VECTORS.shape[1]), 0.3)
    same(
        fit_head(VECTORS, FAILURE, ONES, strength=1.0, start=nothing),
        fit_head(VECTORS, FAILURE, ONES, strength=1.0),
        0.05,
    )


def test_head_gives_no_weight_to_a_column_that_does_not_occur():
    vectors = sp.csr_array(np.column_stack([VECTORS / 20, np.zeros(200)]))
    head = fit_head(vectors, FAILURE, ONES, strength=1.0)
    assert head.coefficients[-1] == 0.0
    same(
        LinearHead(head.coefficients[:-1], head.intercept),
        fit_head(vectors[:, :-1], FAILURE, ONES, strength=1.0),
    )


def test_head_of_columns_that_never_occur_is_constant():
    """As words have none where every answer is the same word."""
    head = fit_head(sp.csr_matrix((200, 4)), FAILURE, ONES, strength=1.0)
    assert head.coefficients.tolist() == [0.0] * 4
    assert expit(head.intercept) == pytest.approx((FAILURE.sum() + 0.5) / 201)


def test_outcomes_that_differ_by_rounding_make_a_constant_head():
    noisy = np.where(np.arange(200) % 2 == 0, 1.0, 0.3 + 0.6 + 0.1)
    head = fit_head(VECTORS, noisy, ONES, strength=1.0)
    assert (head.coefficients == 0.0).all()
    assert head.intercept == pytest.approx(np.log(200.5 / 0.5))


@pytest.mark.parametrize("weight", [0.0, 1e-12])
def test_level_is_found_however_little_the_rows_weigh(weight):
    rate = 0.5 if weight == 0.0 else FAILURE.mean()
    head = fit_head(VECTORS, FAILURE, np.full(200, weight), strength=1.0)
    assert head.intercept == pytest.approx(np.log(rate / (1.0 - rate)), abs=1e-3)
