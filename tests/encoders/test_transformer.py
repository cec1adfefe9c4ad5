"""Transformer encoders: what they read of a request, and that a vector depends on that alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difficulty.encoders.base import load_encoder, write_card
from difficulty.encoders.transformer import ENCODER_FILES, Frame, MemoryCache, TransformerEncoder
from difficulty.errors import EncoderError, InvalidValueError, UnknownNameError
from tests.fakes import VOCABULARY, load_transformer, random_ids, write_transformer

FRAME = Frame(prefix=(101,), suffix=(102,), max_tokens=7)
IDS = st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=40)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_transformer(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        ([], [101, 102]),
        ([1, 2], [101, 1, 2, 102]),
        ([1, 2, 3, 4, 5], [101, 1, 2, 3, 4, 5, 102]),
        ([1, 2, 3, 4, 5, 6], [101, 1, 2, 3, 5, 6, 102]),
        (list(range(20)), [101, 0, 1, 2, 18, 19, 102]),
    ],
    ids=["empty", "short", "exactly full", "one too many", "long"],
)
def test_frame_by_hand(ids, read):
    """Of room for five, three are the head and two the tail."""
    assert FRAME(ids) == read


def test_frame_without_special_ids_leaves_short_texts_alone():
    frame = Frame(prefix=(), suffix=(), max_tokens=2)
    assert [frame(ids) for ids in ([], [4], [4, 5], [4, 5, 6])] == [[], [4], [4, 5], [4, 6]]


def test_frame_takes_several_ids_on_each_side():
    assert Frame(prefix=(1, 2, 3), suffix=(4, 5), max_tokens=8)([7, 8, 9, 10]) == [
        1,
        2,
        3,
        7,
        8,
        10,
        4,
        5,
    ]


@pytest.mark.parametrize("max_tokens", [1, 2, 3])
def test_frame_without_room_for_text_is_refused(max_tokens):
    with pytest.raises(
        InvalidValueError,
        match=f"max_tokens of an encoder must leave room for two tokens of text: got {max_tokens}",
    ):
        Frame(prefix=(101,), suffix=(102,), max_tokens=max_tokens)


@given(ids=IDS, before=IDS.map(tuple), after=IDS.map(tuple), room=st.integers(2, 30))
def test_frame_keeps_what_stands_at_both_ends(ids, before, after, room):
    """Prefix and suffix are whole, and what is kept of the text is the text, or its beginning and
    its end.
    """
    frame = Frame(prefix=before, suffix=after, max_tokens=len(before) + len(after) + room)
    read = frame(ids)
    text = read[len(before) : len(read) - len(after)]
    assert read == [*before, *text, *after]
    assert len(text) == min(len(ids), room)
    if len(ids) > room:
        assert frame.head - room // 2 in (0, 1)
        assert text == ids[: frame.head] + ids[-(room // 2) :]
    else:
        assert text == ids


def test_embeddings_are_unit_vectors_in_the_order_of_the_requests(encoder):
    ids = [[5, 6, 7], [], list(range(40)), [9]]
    together = encoder.encode(ids)
    assert together.shape == (4, encoder.dim) == (4, 8)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    alone = np.vstack([replace(encoder, cache=MemoryCache()).encode([row]) for row in ids])
    assert together == pytest.approx(alone, abs=1e-6)
    assert encoder.encode([]).shape == (0, 8)


def test_order_of_the_tokens_matters(encoder):
    """Otherwise a wrong place in the frame could go unseen in the tests of the graph."""
    one, other = encoder.encode([[5, 6, 7], [7, 6, 5]])
    assert one @ other < 0.99


@settings(max_examples=40)
@given(ids=st.lists(IDS, min_size=1, max_size=5))
def test_embedding_depends_neither_on_batch_nor_on_padding(encoder, ids):
    fresh = encoder.using(cache=MemoryCache())
    beside = fresh.encode([*ids, list(range(100)), [1]])[: len(ids)]
    alone = np.vstack([encoder.using(cache=MemoryCache()).encode([row]) for row in ids])
    assert beside == pytest.approx(alone, abs=1e-6)


def counted(encoder):
    """Return the encoder with an empty cache, and the list that the sizes of what was computed go
    to.
    """
    sizes = []

    class Counting(MemoryCache):
        def add(self, vectors):
            sizes.append(len(vectors))
            super().add(vectors)

    return encoder.using(cache=Counting()), sizes


def test_requests_that_read_the_same_are_computed_once(encoder):
    """Two long texts that differ in the middle alone are one to the encoder."""
    fresh, sizes = counted(encoder)
    long, other = list(range(60)), [*range(30), 7, *range(31, 60)]
    found = fresh.encode([[5], long, [5], other, [6]])
    assert sizes == [3]
    assert found[0].tolist() == found[2].tolist() != found[4].tolist()
    assert found[1].tolist() == found[3].tolist()
    fresh.encode([[6], [5], [7]])
    assert sizes == [3, 1]


def test_batches_are_bounded_and_progress_is_told(encoder):
    fresh, sizes = counted(encoder)
    told = []
    ids = random_ids(np.random.default_rng(0), 200)
    n = len({tuple(fresh.frame(row)) for row in ids})
    fresh.using(progress=lambda done, total: told.append((done, total))).encode(ids)
    assert sum(sizes) == n
    assert max(sizes) <= 64
    assert told == [(done, n) for done in np.cumsum(sizes)]


def test_digest_depends_on_graph_tokenizer_and_frame_alone(tmp_path):
    """A copy in another folder has the same; one with another weight, word or id around the text
    has not.
    """
    words = {**VOCABULARY, "more": len(VOCABULARY)}
    choices = [
        {},
        {"seed": 1},
        {"vocabulary": words, "rows": len(VOCABULARY)},
        {"max_tokens": 17},
        {"prefix": (1,)},
        {"prefix": (1, 2, 3), "suffix": ()},
        {"suffix": (4,)},
    ]
    digests = [
        load_transformer(tmp_path / f"{number}", **choice).digest
        for number, choice in enumerate(choices)
    ]
    assert len(set(digests)) == len(choices)
    assert all(len(digest) == 64 for digest in digests)
    assert load_transformer(tmp_path / "copy").digest == digests[0]


def test_encoder_is_found_by_its_kind(tmp_path):
    encoder = load_encoder(write_transformer(tmp_path, max_tokens=20))
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.dim, encoder.vocabulary_size, encoder.tokenizer_path) == (
        8,
        200,
        tmp_path / "tokenizer.json",
    )
    assert encoder.frame == Frame(prefix=(1, 2), suffix=(3,), max_tokens=20)


@pytest.mark.parametrize("name", ENCODER_FILES)
def test_changed_file_is_refused(tmp_path, name):
    write_transformer(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
    with pytest.raises(
        EncoderError,
        match=rf"{name}' was changed: its sha256 is [0-9a-f]{{64}}, expected [0-9a-f]{{64}}",
    ):
        load_encoder(tmp_path)


@pytest.mark.parametrize("name", [*ENCODER_FILES, "encoder.json"])
def test_missing_file_is_refused(tmp_path, name):
    write_transformer(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(EncoderError, match=f"{name}.* is missing"):
        load_encoder(tmp_path)


def change_card(folder, **entries):
    """Set some entries of ``encoder.json``; ``None`` takes one out."""
    card = json.loads((folder / "encoder.json").read_text()) | entries
    (folder / "encoder.json").write_text(
        json.dumps({name: value for name, value in card.items() if value is not None})
    )


@pytest.mark.parametrize(
    "entries",
    [
        {"prefix": None},
        {"suffix": 3},
        {"max_tokens": "many"},
        {"max_tokens": 4},
        {"dim": None},
        {"vocabulary": []},
    ],
    ids=lambda entries: "{}={}".format(*next(iter(entries.items()))),
)
def test_bad_card_is_refused(tmp_path, entries):
    change_card(write_transformer(tmp_path), **entries)
    with pytest.raises(EncoderError, match=r"encoder\.json in .* lacks or spoils"):
        load_encoder(tmp_path)


def test_unknown_kind_is_refused(tmp_path):
    change_card(write_transformer(tmp_path), kind="magic")
    with pytest.raises(
        UnknownNameError, match="unknown encoder 'magic'. Known: static, transformer"
    ):
        load_encoder(tmp_path)


def test_graph_that_cannot_be_loaded_is_refused(tmp_path):
    write_transformer(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    card = json.loads((tmp_path / "encoder.json").read_text())
    write_card(
        tmp_path,
        ENCODER_FILES,
        **{name: value for name, value in card.items() if name not in ("format", "sha256")},
    )
    with pytest.raises(
        EncoderError, match=r"encoder\.onnx cannot be loaded .* Convert the encoder again"
    ):
        load_encoder(tmp_path)
