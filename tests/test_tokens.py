import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram

from difficulty.tokens import RequestTokenizer, pad
from tests.fakes import VOCABULARY, word_tokenizer

TEN = " ".join(f"w{number}" for number in range(1, 11))


def test_encode_gives_ids_and_their_number():
    assert RequestTokenizer(word_tokenizer()).encode("w3 w1 other w3") == ([3, 1, 0, 3], 4)


def test_encode_of_no_text_gives_no_ids():
    assert RequestTokenizer(word_tokenizer()).encode("") == ([], 0)


@pytest.mark.parametrize(
    ("max_tokens", "kept"),
    [
        (10, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (9, [1, 2, 3, 4, 5, 7, 8, 9, 10]),
        (4, [1, 2, 9, 10]),
        (3, [1, 2, 10]),
        (1, [1]),
    ],
)
def test_encode_keeps_head_and_tail_of_a_long_text(max_tokens, kept):
    """Of an odd number of tokens the head gets one more."""
    assert RequestTokenizer(word_tokenizer(), max_tokens=max_tokens).encode(TEN) == (kept, 10)


def test_tokenizer_neither_truncates_nor_pads_by_its_own_settings():
    raw = word_tokenizer()
    raw.enable_truncation(2)
    raw.enable_padding(length=20)
    assert RequestTokenizer(raw).encode("w1 w2 w3") == ([1, 2, 3], 3)


def test_encode_batch_is_encode_one_by_one():
    tokenizer = RequestTokenizer(word_tokenizer(), max_tokens=4)
    texts = ["w1", "", TEN, "w2 w2 w9"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_tokenizer_from_file_knows_its_vocabulary(tmp_path):
    word_tokenizer().save(str(tmp_path / "tokenizer.json"))
    tokenizer = RequestTokenizer.from_file(tmp_path / "tokenizer.json", max_tokens=2)
    assert tokenizer.vocabulary_size == len(VOCABULARY) == 200
    assert tokenizer.encode("w5 w6 w7") == ([5, 7], 3)


def test_pad_fills_behind_and_masks():
    ids, mask = pad([[3, 4], [], [5]])
    assert ids.tolist() == [[3, 4], [0, 0], [5, 0]]
    assert mask.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert ids.dtype == mask.dtype == np.int64


@pytest.mark.parametrize(("rows", "shape"), [([], (0, 1)), ([[]], (1, 1)), ([[], []], (2, 1))])
def test_pad_of_nothing_is_one_token_wide(rows, shape):
    """A graph never sees a width of 0."""
    ids, mask = pad(rows)
    assert ids.shape == mask.shape == shape
    assert not mask.any()


def test_unknown_id_is_the_one_for_words_outside_the_vocabulary():
    tokenizer = RequestTokenizer(word_tokenizer())
    assert tokenizer.encode("elsewhere").ids == [tokenizer.unknown_id] == [0]


def test_unknown_id_of_a_unigram_tokenizer_is_its_own():
    tokenizer = RequestTokenizer(Tokenizer(Unigram([("a", -1.0), ("<unk>", -2.0)], unk_id=1)))
    assert tokenizer.unknown_id == 1


def test_tokenizer_of_bytes_needs_no_unknown_id():
    assert RequestTokenizer(Tokenizer(BPE())).unknown_id is None
