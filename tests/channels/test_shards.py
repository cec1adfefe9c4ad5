"""Large traffic: shards say what one matrix says."""

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, Ridge

from difficulty.channels import descent, shards
from difficulty.channels.descent import fit_least_squares, fit_logistic
from difficulty.channels.heads import fit_head
from difficulty.channels.ngram_products import fitting_on
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.shards import Beside, NgramShards, WeightedNgrams, standardised
from difficulty.channels.tree_arrays import _walk, follow
from difficulty.engine import LocalEngine
from difficulty.storage import mapped
from difficulty.storage.mapped import GrowingRows
from difficulty.tokens import TokenRows

N, VOCABULARY = 400, 50


@pytest.fixture(scope="module")
def ids():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, VOCABULARY, size).tolist() for size in rng.integers(0, 20, N)]
    return TokenRows(rows, "any")


@pytest.fixture
def channel(request):
    return NgramChannel(VOCABULARY, buckets=300, weighting=request.param)


def sharded(channel, ids, monkeypatch, *, memory=1 << 30):
    """Return the counts in shards of 64 rows."""
    monkeypatch.setattr(shards, "SHARD_ROWS", 64)
    monkeypatch.setattr(shards, "MOST_IN_MEMORY", memory)
    return NgramShards.counted(ids, channel._counts, channel.dim)


both = pytest.mark.parametrize("channel", ["counts", "presence"], indirect=True)


@both
@pytest.mark.parametrize("memory", [1 << 30, 0])
def test_shards_multiply_as_one_matrix_does(channel, ids, monkeypatch, memory):
    """In memory and in a file, whatever rows are asked for."""
    counts, parts = channel.prepare(ids), sharded(channel, ids, monkeypatch, memory=memory)
    # what lies in files is known to, so that it is let go of when it was read
    assert {len(files) for files in parts.files} == {0 if memory else 2}
    rng = np.random.default_rng(1)
    for rows in (slice(None), np.arange(100, 300), rng.permutation(N)[:90]):
        some, own = counts[rows], parts[rows]
        idf = channel.fit(some)
        assert channel.fit(own) == pytest.approx(idf)
        one, weighted = channel.transform(some, idf), channel.transform(own, idf)
        assert isinstance(weighted, WeightedNgrams)
        coefficients, residual = rng.normal(size=channel.dim), rng.normal(size=one.shape[0])
        assert weighted @ coefficients == pytest.approx(one @ coefficients, abs=1e-5)
        assert weighted.pulled(residual) == pytest.approx(one.T @ residual, abs=1e-5)
        assert channel.token_counts(own).tolist() == channel.token_counts(some).tolist()
        pairs = sp.vstack(list(channel.pair_counts(own).blocks()))
        assert (pairs != channel.pair_counts(some)).nnz == 0


@both
def test_a_whole_shard_is_shared(channel, ids, monkeypatch):
    parts = sharded(channel, ids, monkeypatch)
    assert parts[np.arange(30, 256)].parts[1:] == parts.parts[1:4]


@both
def test_heads_on_shards_are_those_of_scikit_learn(channel, ids, monkeypatch):
    """The optimum, with graded and unknown outcomes."""
    monkeypatch.setattr(descent, "_GRADIENT", 1e-9)
    monkeypatch.setattr(descent, "_GRADIENT_OF_FEW", 1e-9)
    rng = np.random.default_rng(2)
    outcome = rng.choice([0.0, 0.3, 1.0, np.nan], N)
    weight, known = rng.uniform(0.5, 2.0, N), ~np.isnan(outcome)
    counts = channel.prepare(ids)
    vectors = channel.transform(counts, channel.fit(counts))
    own = channel.transform(sharded(channel, ids, monkeypatch), channel.fit(counts))
    squares = vectors.multiply(vectors).T @ weight
    assert own.pulled_squares(weight) == pytest.approx(squares, abs=1e-5)
    twice = sp.vstack([vectors[known], vectors[known]])
    labels = np.repeat([1, 0], known.sum())
    shares = np.concatenate([outcome[known], 1.0 - outcome[known]]) * np.tile(weight[known], 2)
    model = LogisticRegression(C=0.3, tol=1e-10, max_iter=5_000)
    model.fit(twice, labels, sample_weight=shares)
    expected = np.append(model.coef_[0], model.intercept_)
    assert fit_logistic(own, outcome, weight, strength=0.3) == pytest.approx(expected, abs=1e-4)
    ridge = Ridge(alpha=5.0, solver="sparse_cg", tol=1e-10)
    ridge.fit(vectors[known], outcome[known], sample_weight=weight[known])
    fitted = fit_least_squares(own, outcome, weight, penalty=5.0)
    assert fitted == pytest.approx(np.append(ridge.coef_, ridge.intercept_), abs=1e-3)


@pytest.mark.parametrize("in_file", [False, True])
def test_dense_columns_and_marks_are_standardised_as_one_matrix(monkeypatch, in_file):
    """Beside marks of a task, with a start and without, from few rows or many, wherever they
    lie.
    """
    rng = np.random.default_rng(3)
    left, marks = rng.normal(2.0, 3.0, (N, 4)), sp.csr_array(np.eye(3)[rng.integers(0, 3, N)])
    outcome, weight = (rng.random(N) < 0.4).astype(float), np.ones(N)
    whole = fit_head(np.hstack([left, marks.toarray()]), outcome, weight, strength=0.1)
    monkeypatch.setattr(descent, "_GRADIENT", 1e-9)
    monkeypatch.setattr(descent, "_GRADIENT_OF_FEW", 1e-9)
    vectors = GrowingRows(left.dtype, left.shape[1:], most=0 if in_file else 1 << 20)
    vectors.add(left)
    monkeypatch.setattr(mapped, "_PART", 1_000)  # several parts
    beside = Beside(vectors.whole(), marks)
    parts = fit_head(beside, outcome, weight, strength=0.1)
    assert parts.coefficients == pytest.approx(whole.coefficients, abs=1e-3)
    assert parts.intercept == pytest.approx(whole.intercept, abs=1e-3)
    design, mean, deviation = standardised(beside, np.ones(N, bool))
    ours = (np.hstack([left, marks.toarray()]) - mean) / deviation
    uneven = rng.random(N)  # of one weight the squares of standardised columns are all alike
    assert design.pulled_squares(uneven) == pytest.approx((ours**2).T @ uneven)
    assert design.pulled(uneven) == pytest.approx(ours.T @ uneven)
    assert design @ np.ones(7) == pytest.approx(
        ((np.hstack([left, marks.toarray()]) - mean) / deviation).sum(axis=1)
    )
    again = fit_head(beside, outcome, weight, strength=0.1, start=whole)
    dense = np.hstack([left, marks.toarray()])
    expected = fit_head(dense, outcome, weight, strength=0.1, start=whole)
    assert beside @ again.coefficients + again.intercept == pytest.approx(
        dense @ expected.coefficients + expected.intercept, abs=1e-2
    )


def test_heads_whose_shards_an_engine_holds_have_the_same_bytes(ids, monkeypatch):
    """Of n-grams of either weighting, beside other columns and from an earlier head; shards are
    opened as a worker gets them.
    """
    monkeypatch.setattr(shards, "LARGE", 100)
    rng = np.random.default_rng(5)
    outcome, weight = (rng.random(N) < 0.4).astype(float), rng.uniform(0.5, 2.0, N)
    fits = []
    for weighting in ("counts", "presence"):
        channel = NgramChannel(VOCABULARY, buckets=300, weighting=weighting)
        own = channel.transform(
            sharded(channel, ids, monkeypatch), channel.fit(channel.prepare(ids))
        )
        head = fit_head(own, outcome, weight, strength=0.3)
        fits += [
            partial(fit_head, own, outcome, weight, strength=0.3),
            partial(fit_head, own, outcome, weight, strength=0.3, start=head),
        ]
    beside = Beside(own, rng.normal(size=(N, 2)))
    fits.append(partial(fit_logistic, beside, outcome, weight, strength=0.3))
    asked = []

    class Sending(LocalEngine):
        def hold(self, work, shards):
            asked.append(shards)
            return super().hold(*pickle.loads(pickle.dumps((work, shards))))

    for fit in fits:
        with fitting_on(Sending()):
            held = fit()
        assert pickle.dumps(held) == pickle.dumps(fit())
    assert len(asked) == len(fits)


def test_trees_are_followed_by_bits_as_node_by_node():
    """Of random trees of 1 to 8 leaves; of larger ones node by node."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(500, 5)).astype(np.float32)
    for most in (8, 12):
        columns, thresholds, children, leaves, starts = [], [], [], [], []

        def grow(left, columns=columns, thresholds=thresholds, children=children, leaves=leaves):
            place = len(columns)
            columns.append(int(rng.integers(5)))
            thresholds.append(np.float32(rng.normal()))
            leaves.append(rng.normal())
            children.append([place, place])
            if left > 1:
                split = int(rng.integers(1, left))
                children[place] = [grow(split), grow(left - split)]
            return place

        for size in range(1, most + 1):
            starts.append(grow(size))
        arrays = {
            "column": np.array(columns, dtype=np.int32),
            "threshold": np.array(thresholds, dtype=np.float32),
            "children": np.array(children, dtype=np.int32),
            "value": np.array(leaves),
            "starts": np.array(starts, dtype=np.int32),
            "base": np.array(0.5),
        }
        assert follow(values, arrays) == pytest.approx(0.5 + _walk(values, arrays))
