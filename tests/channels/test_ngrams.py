import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from difficulty.channels.heads import LinearHead, in_half
from difficulty.channels.ngrams import NgramChannel, _narrow
from difficulty.errors import InvalidValueError
from tests.fakes import random_ids

_HALF = 2.0**-11
"""How far a number of 16 bits may be from another, as a share of it."""


def test_counts_are_unigrams_by_id_then_hashed_bigrams():
    """(1 * 1,000,003 + 2 * 8,191) % 10 is 5, (2 * 1,000,003 + 1 * 8,191) % 10 is 7; four unigrams
    stand before.
    """
    counts = NgramChannel(4, buckets=10).prepare([[1, 2, 1]]).toarray()
    expected = np.zeros(14)
    expected[[1, 2, 4 + 5, 4 + 7]] = [2, 1, 1, 1]
    assert counts.tolist() == [expected.tolist()]


def test_counts_of_one_token_hold_no_bigram_and_of_none_nothing():
    counts = NgramChannel(4, buckets=10).prepare([[3], [], [0, 0]])
    assert counts.sum(axis=1).tolist() == [1, 0, 3]
    assert counts.toarray()[2, [0, 4]].tolist() == [2, 1]


def test_counts_of_no_request_have_the_right_width():
    channel = NgramChannel(4, buckets=10)
    assert channel.prepare([]).shape == (0, channel.dim) == (0, 14)


def test_bigrams_that_share_a_bucket_are_counted_together():
    assert NgramChannel(3, buckets=1).prepare([[0, 1, 2]]).toarray().tolist() == [[1, 1, 1, 2]]


def test_inverse_frequency_by_hand():
    """Of three requests, id 0 is in all, id 1 in one, id 2 in none."""
    channel = NgramChannel(3, buckets=1)
    idf = channel.fit(channel.prepare([[0], [0], [0, 1, 1]]))
    assert idf == pytest.approx([0.0, np.log(4 / 2), 0.0, np.log(4 / 2)], rel=_HALF)
    assert np.array_equal(in_half(idf**2), (idf**2).astype(np.float32))


def test_weights_by_hand():
    """Counts 2 and 1 with inverse frequencies 1 and 3 give (1 + ln 2, 3), brought to length 1."""
    channel = NgramChannel(2, buckets=1)
    weighted = channel.transform(channel.prepare([[0, 1, 0]]), np.array([1.0, 3.0, 0.0])).toarray()[
        0
    ]
    raw = np.array([1 + np.log(2), 3.0, 0.0])
    assert weighted == pytest.approx(raw / np.hypot(raw[0], raw[1]))


def test_request_of_boilerplate_alone_is_all_zero():
    """What every request carries says nothing; nothing is divided by zero."""
    channel = NgramChannel(3, buckets=1)
    counts = channel.prepare([[0, 1], [0, 1]])
    assert (
        channel.transform(counts, channel.fit(counts)).toarray().tolist()
        == np.zeros((2, 4)).tolist()
    )


def test_weights_are_those_of_scikit_learn_without_its_added_one():
    ids = random_ids(np.random.default_rng(3), 40, longest=12)
    channel = NgramChannel(200, buckets=1 << 22)
    counts = channel.prepare(ids)
    found = channel.transform(counts, channel.fit(counts)).toarray()

    reference = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\d+").fit(
        " ".join(map(str, row)) for row in ids
    )
    reference.idf_ = reference.idf_ - 1.0
    expected = reference.transform(" ".join(map(str, row)) for row in ids).toarray()
    columns = [
        channel.prepare([[int(one) for one in term.split()]]).indices.max()
        for term in reference.get_feature_names_out()
    ]
    assert len(set(columns)) == len(columns), (
        "two bigrams of this case share a bucket: take another seed"
    )
    assert found[:, columns] == pytest.approx(expected, abs=_HALF)
    assert np.count_nonzero(found) == np.count_nonzero(expected)


def test_presence_by_hand():
    """Ids 0 and 1 in two blocks: the unigrams 1 and 3, one pair of bigrams, each block of squared
    length 1/2; how often they occur is nothing.
    """
    channel = NgramChannel(2, buckets=1, weighting="presence")
    counts = channel.prepare([[0, 1, 0], [0, 1, 0, 0, 1], [0], []])
    weighted = channel.transform(counts, np.array([1.0, 3.0, 2.0])).toarray()
    both = np.array([1.0, 3.0]) / np.sqrt(10) * np.sqrt(0.5)
    assert weighted[0] == pytest.approx([*both, np.sqrt(0.5)])
    assert weighted[1] == pytest.approx(weighted[0])
    assert weighted[2] == pytest.approx([np.sqrt(0.5), 0, 0])
    assert weighted[3].tolist() == [0, 0, 0]


def test_inverse_frequency_of_presence_has_one_more():
    channel = NgramChannel(3, buckets=1, weighting="presence")
    idf = channel.fit(channel.prepare([[0], [0], [0, 1, 1]]))
    assert idf == pytest.approx([1.0, np.log(4 / 2) + 1, 0.0, np.log(4 / 2) + 1], rel=_HALF)


@pytest.mark.parametrize("weighting", ["counts", "presence"])
def test_heads_are_as_a_graph_of_16_bits_keeps_them(weighting):
    """Of a head with a column for a task behind, that is left alone."""
    rng = np.random.default_rng(0)
    channel = NgramChannel(200, buckets=64, weighting=weighting)
    idf = channel.fit(channel.prepare(random_ids(rng, 50)))
    head = LinearHead(rng.normal(size=channel.dim + 1), 0.3)
    stored = channel.stored(head, idf)
    weights = idf * stored.coefficients[:-1]
    assert in_half(weights) == pytest.approx(weights, rel=1e-12)
    assert weights == pytest.approx(idf * head.coefficients[:-1], rel=_HALF, abs=1e-7)
    assert (stored.coefficients[-1], stored.intercept) == (head.coefficients[-1], 0.3)
    again = channel.stored(stored, idf)
    assert again.coefficients == pytest.approx(stored.coefficients, rel=1e-12)


def test_table_of_a_model_of_before_keeps_32_bits():
    """Its weights are no numbers of 16 bits, and its graph stays what it was."""
    exact = np.array([[0.5, -3.0], [2.0**-20, 0.0]], dtype=np.float32)
    assert _narrow(exact).dtype == np.float16
    assert _narrow(exact + np.float32(1e-4)).dtype == np.float32


def test_settings_of_counts_are_those_of_models_before():
    assert NgramChannel(4, buckets=8).settings() == {"vocabulary_size": 4, "buckets": 8}
    presence = NgramChannel(4, buckets=8, weighting="presence")
    assert NgramChannel(**presence.settings()).weighting == "presence"


def test_buckets_must_be_positive():
    with pytest.raises(InvalidValueError, match="buckets must be at least 1: got 0"):
        NgramChannel(4, buckets=0)
