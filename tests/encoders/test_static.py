from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.trees import TreeChannel
from difficulty.encoders import base as encoders
from difficulty.encoders.base import StaticEncoder, quantise_rows
from difficulty.errors import EncoderError, InvalidValueError
from difficulty.tensors import GraphBuilder, RequestTensors
from difficulty.tokens import RequestTokenizer, TokenRows, join, pad, pick
from tests.conftest import REPOSITORY
from tests.fakes import (
    VOCABULARY,
    load_encoder,
    word_tokenizer,
    write_card,
    write_encoder,
    write_transformer,
)


def encoder_of(table, scale):
    return StaticEncoder(
        table=np.array(table, dtype=np.int8),
        scale=np.array(scale, dtype=np.float32),
        tokenizer_path=Path("none"),
        digest="none",
    )


def test_quantised_rows_by_hand():
    """The largest entry of a row becomes 127 or -127; a row of zeros keeps scale 1."""
    table, scale = quantise_rows(np.array([[0.5, -2.0], [0.0, 0.0]]))
    assert table.tolist() == [[32, -127], [0, 0]]
    assert table.dtype == np.int8
    assert scale == pytest.approx([2 / 127, 1.0])


@given(
    arrays(
        np.float64, (3, 5), elements=st.integers(-10_000, 10_000).map(lambda number: number / 1_000)
    )
)
def test_quantised_rows_are_off_by_half_a_step_at_most(vectors):
    table, scale = quantise_rows(vectors)
    assert np.all(
        np.abs(table * scale[:, None].astype(np.float64) - vectors) <= 0.501 * scale[:, None]
    )


def test_four_bits_cut_the_largest_entries_for_finer_steps():
    """The scale with the least squared error is below the one at which nothing is cut."""
    vectors = np.vstack([np.random.default_rng(0).normal(size=(20, 256)), np.zeros(256)])
    table, scale = quantise_rows(vectors, bits=4)
    assert (table.min(), table.max()) == (-7, 7)
    assert table[-1].tolist() == [0] * 256
    whole = np.abs(vectors[:-1]).max(axis=1, keepdims=True) / 7
    plain = np.rint(vectors[:-1] / whole) * whole
    error, plainly = (
        ((one - vectors[:-1]) ** 2).sum() for one in (table[:-1] * scale[:-1, None], plain)
    )
    assert error < plainly
    assert error / (vectors**2).sum() < 0.02


@pytest.mark.parametrize(("bits", "dim"), [(4, 8), (4, 7), (8, 8)], ids=str)
def test_graph_reads_half_bytes_as_python_reads_numbers(tmp_path, bits, dim):
    """Two numbers share a byte where all are -7 to 7 and the dimension is even; padding and tasks
    are nothing either way.
    """
    rng = np.random.default_rng(1)
    table, scale = quantise_rows(rng.normal(size=(len(VOCABULARY), dim)), bits=bits)
    encoder = encoder_of(table, scale)
    graph = GraphBuilder()
    requests = RequestTensors(graph, vocabulary=len(VOCABULARY), n_tasks=2)
    graph.output(encoder.export(requests), "embedding", ["batch", dim])
    model = graph.build("test")
    sizes = [
        len(one.raw_data)
        for one in model.graph.initializer
        if one.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    ]
    rows = len(VOCABULARY) + requests.n_blank
    assert max(sizes) == rows * (dim // 2 if (bits, dim) == (4, 8) else dim)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = [[], [7], list(range(30)), [len(VOCABULARY) + 1, 3, 4]]
    input_ids, mask = pad(ids)
    said = session.run(None, {"input_ids": input_ids, "attention_mask": mask})[0]
    assert said == pytest.approx(encoder.encode([*ids[:3], ids[3][1:]]), abs=1e-6)


def test_embedding_by_hand():
    """Vectors (10, 0) and (0, 3 * 10) sum to a multiple of (1, 3)."""
    encoder = encoder_of([[10, 0], [0, 10]], [1.0, 3.0])
    assert encoder.encode([[0, 1]])[0] == pytest.approx(np.array([1, 3]) / np.sqrt(10))
    assert encoder.encode([[0, 0, 1]])[0] == pytest.approx(np.array([2, 3]) / np.sqrt(13))


def test_embedding_of_no_tokens_or_of_opposite_ones_is_zero():
    encoder = encoder_of([[10, 0], [-10, 0]], [1.0, 1.0])
    assert encoder.encode([[], [0, 1]]).tolist() == [[0, 0], [0, 0]]
    assert encoder.encode([]).shape == (0, encoder.dim) == (0, 2)


def test_encoder_is_read_back_as_written(tmp_path):
    encoder = load_encoder(tmp_path / "encoder", dim=8)
    assert encoder.table.shape == (200, 8)
    assert np.linalg.norm(encoder.encode([[1, 2], [3]]), axis=1) == pytest.approx([1, 1])
    assert RequestTokenizer.from_file(encoder.tokenizer_path).vocabulary_size == len(encoder.table)


def test_encoder_digest_depends_on_the_files_alone(tmp_path):
    one, same, other = (
        load_encoder(tmp_path / name, seed=seed) for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    )
    assert one.digest == same.digest != other.digest


def test_encoder_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"no encoder at .*: encoder\.json is missing"):
        StaticEncoder.load(tmp_path / "none")


@pytest.mark.parametrize("name", ["table.npz", "tokenizer.json"])
def test_encoder_with_a_changed_byte_is_refused(tmp_path, name):
    path = write_encoder(tmp_path) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(EncoderError, match=f"{name}' was changed: its sha256 is"):
        StaticEncoder.load(tmp_path)


@pytest.mark.parametrize("name", ["table.npz", "tokenizer.json"])
def test_encoder_with_a_missing_file_is_refused(tmp_path, name):
    (write_encoder(tmp_path) / name).unlink()
    with pytest.raises(EncoderError, match=f"{name}' is missing"):
        StaticEncoder.load(tmp_path)


def test_encoder_of_another_format_is_refused(tmp_path):
    write_card(write_encoder(tmp_path), format=2)
    with pytest.raises(
        EncoderError, match=r"encoder format 2 is not the one this version reads \(1\)"
    ):
        StaticEncoder.load(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 1}', '{"format": 1, "sha256": "none"}', '{"sha256": {}}']
)
def test_encoder_with_a_damaged_card_is_refused(tmp_path, content):
    (write_encoder(tmp_path) / "encoder.json").write_text(content)
    with pytest.raises(EncoderError, match=r"encoder\.json"):
        StaticEncoder.load(tmp_path)


def test_encoder_needs_one_scale_a_row():
    with pytest.raises(InvalidValueError, match="encoder table must have one scale a row"):
        encoder_of([[1, 2]], [1.0, 1.0])


def test_shipped_encoder_knows_what_is_alike():
    """The hashes of the files in the repository are those of the card, and the table has a row for
    every id.
    """
    folder = REPOSITORY / "models" / "static-minilm-256"
    encoder = StaticEncoder.load(folder)
    tokenizer = RequestTokenizer.from_file(folder / "tokenizer.json")
    assert encoder.dim == 256
    assert np.abs(encoder.table).max() == 7  # two numbers a byte in every bundle
    assert len(encoder.table) >= tokenizer.vocabulary_size
    near, far = (
        encoder.encode(
            [tokenizer.encode(text).ids for text in ("a small dog", "integrate by parts")]
        )
        @ encoder.encode([tokenizer.encode("the little puppy").ids]).T
    )
    assert near > far + 0.2


def tokenized_by(folder):
    """Return token ids of a text, as ``tokenize`` gives them, by the tokenizer of a folder."""
    tokenizer = RequestTokenizer.from_file(folder / "tokenizer.json")
    return TokenRows([row.ids for row in tokenizer.encode_batch(["w1 w2 w3"])], tokenizer.digest)


@pytest.mark.parametrize("write", [write_encoder, write_transformer], ids=["static", "transformer"])
def test_ids_of_another_tokenizer_are_refused(tmp_path, write):
    """The other one has the same words in another order, so its ids look right."""
    encoder = encoders.load_encoder(write(tmp_path / "own"))
    other = tmp_path / "other"
    other.mkdir()
    turned = {word: len(VOCABULARY) - 1 - number for word, number in VOCABULARY.items()}
    word_tokenizer(turned).save(str(other / "tokenizer.json"))
    theirs = tokenized_by(other)
    assert encoder.encode(tokenized_by(tmp_path / "own")).shape == (1, encoder.dim)
    assert encoder.encode(list(theirs)).shape == (1, encoder.dim)  # nobody knows whose these are
    with pytest.raises(EncoderError, match=r"the encoder's own tokenizer: got ids of tokenizer"):
        encoder.encode(theirs)
    with pytest.raises(EncoderError, match=r"the encoder's own tokenizer: got ids of tokenizer"):
        TreeChannel(encoder, components=2).prepare(theirs)


@pytest.mark.parametrize("number", [-1, len(VOCABULARY)])
def test_ids_outside_the_vocabulary_are_refused(tmp_path, number):
    """-1 was the last row of the table, and an id past the vocabulary a pair of words."""
    folders = write_encoder(tmp_path / "static"), write_transformer(tmp_path / "transformer")
    rule = f"at least 0 and below 200, the size of the vocabulary: got {number}"
    for encoder in map(encoders.load_encoder, folders):
        with pytest.raises(EncoderError, match=rule):
            encoder.encode([[1], [5, number]])
    with pytest.raises(EncoderError, match=rule):
        NgramChannel(len(VOCABULARY), buckets=64).prepare([[5, number]])


def test_rows_know_their_tokenizer_through_picking_and_joining():
    rows = TokenRows([[1], [2], [3]], "one")
    assert pick(rows, [2, 0]) == [[3], [1]]
    assert pick(rows, [2, 0]).tokenizer == join(rows, rows).tokenizer == "one"
    assert not isinstance(join(rows, [[4]]), TokenRows)
    with pytest.raises(EncoderError, match="must be of one tokenizer: got some of one and some"):
        join(rows, TokenRows([[1]], "another"))
