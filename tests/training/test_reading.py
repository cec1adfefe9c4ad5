import numpy as np
import pytest

from difficulty.tokens import RequestTokenizer
from difficulty.traffic.stored.tokenized import Tokenized
from difficulty.training.reading import ReadCounts, Reading, reading_of
from difficulty.training.run import Run
from tests.fakes import load_encoder, load_transformer, word_tokenizer

WHOLE = {
    "requests": 100,
    "cut_by_chars": 0,
    "cut_by_tokens": 0,
    "beyond_encoder": None,
    "encoder_tokens": None,
    "max_tokens": 512,
    "unknown_tokens": 0.0,
    "mostly_unknown": 0,
}


def tokenized(*rows):
    """Return requests from pairs of ids and total; a total that ends in .5 is one of a text that
    was cut before.
    """
    return Tokenized(
        [list(ids) for ids, _ in rows],
        np.array([int(total) for _, total in rows], dtype=np.int64),
        [None] * len(rows),
        np.array([total % 1 > 0 for _, total in rows]),
    )


def test_reading_counts_what_was_cut_and_what_is_unknown(tmp_path):
    """Of four requests one was cut by tokens, one by characters; 3 of 12 tokens are unknown, 2 of
    them in one request of 3.
    """
    tokens = tokenized(([1, 2, 3, 4], 9), ([0, 5, 6], 30.5), ([0, 0, 7], 3), ([8, 9], 2))
    tokenizer = RequestTokenizer(word_tokenizer(), max_tokens=4)
    reading = reading_of(ReadCounts.of(tokens, tokenizer), tokenizer, load_encoder(tmp_path))
    assert (reading.requests, reading.cut_by_tokens, reading.cut_by_chars) == (4, 1, 1)
    assert (reading.unknown_tokens, reading.mostly_unknown) == (pytest.approx(3 / 12), 1)
    assert (reading.beyond_encoder, reading.encoder_tokens) == (None, None)
    cut, unknown = reading.notes
    assert cut == "2 of 4 requests were cut to head and tail: 1 by characters, 1 at 4 tokens."
    assert unknown.startswith(
        "25% of the tokens are unknown to this tokenizer, and more than half in 1 of 4 requests"
    )


def test_reading_knows_what_a_transformer_leaves_out(tmp_path):
    """Its frame has room for 6 - 3 tokens of text."""
    encoder = load_transformer(tmp_path / "encoder", max_tokens=6)
    tokenizer = RequestTokenizer(word_tokenizer())
    counts = ReadCounts.of(tokenized(([1, 2, 3, 4], 4), ([5, 6, 7], 3)), tokenizer)
    reading = reading_of(counts, tokenizer, encoder)
    assert (reading.beyond_encoder, reading.encoder_tokens, reading.cut_by_tokens) == (1, 3, 0)
    assert reading.notes == (
        "Of 1 of 2 requests the encoder reads head and tail only, 3 tokens; n-grams read the rest.",
    )


def test_reading_in_parts_is_that_of_the_whole():
    rows = [([0, 5], 2), ([0, 5], 7), ([0, 0], 30.5)]
    tokenizer = RequestTokenizer(word_tokenizer(), max_tokens=2)
    parts = [ReadCounts.of(tokenized(*some), tokenizer) for some in (rows[:2], rows[2:])]
    reading = reading_of(ReadCounts.joined(parts), tokenizer)
    assert reading.requests == 3
    assert (reading.cut_by_tokens, reading.cut_by_chars) == (1, 1)
    assert (reading.unknown_tokens, reading.mostly_unknown) == (pytest.approx(4 / 6), 1)


def test_reading_says_nothing_where_everything_was_read():
    assert Reading(**WHOLE).notes == ()


@pytest.mark.parametrize(
    ("unknown", "mostly", "noted"), [(0.04, 4, False), (0.05, 0, True), (0.01, 5, True)]
)
def test_reading_warns_from_five_of_a_hundred_on(unknown, mostly, noted):
    """Either of the tokens, or of the requests that are mostly unknown."""
    notes = Reading(**WHOLE | {"unknown_tokens": unknown, "mostly_unknown": mostly}).notes
    assert any("multilingual" in note for note in notes) == noted


def test_run_and_its_card_hold_what_was_read(journey):
    """The small encoder knows 1,200 words, so many tokens are unknown to it."""
    reading = Run.read(journey.run).record.reading
    assert reading.requests == 800
    notes = reading.notes
    assert any("unknown to this tokenizer" in note for note in notes)
    assert all(note in (journey.bundle / "card.md").read_text() for note in notes)
