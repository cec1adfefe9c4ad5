import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, Unigram, WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace
from tokenizers.processors import TemplateProcessing

import difficulty.tokens
from difficulty.tokens import RequestTokenizer, WordIds, digest_of_tokenizer, pad
from difficulty.training.shipped import shipped_file
from tests.fakes import VOCABULARY, word_tokenizer

TEN = " ".join(f"w{number}" for number in range(1, 11))
SHIPPED = Tokenizer.from_file(str(shipped_file("models/static-minilm-256/tokenizer.json")))
IDS = WordIds(SHIPPED)
PIECES = st.sampled_from(
    [
        "the",
        "Invoice",
        "un",
        "believable",
        " ",
        "  ",
        "\n",
        "\t",
        ".",
        "don't",
        "’",
        "é",
        "É",
        "İ",
        "Σ",
        "ς",
        "ß",
        "中文",
        "\u0301",
        "\u00a0",
        "\u200b",
    ]
)


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


def bert(*, normalizer=None, cut=None, processor=None, added=()):
    """Return a tokenizer of five words."""
    tokenizer = Tokenizer(
        WordPiece(
            {"[UNK]": 0, "go": 1, "##ing": 2, ".": 3, "[": 4, "]": 5, "x": 6}, unk_token="[UNK]"
        )
    )
    tokenizer.normalizer = normalizer or BertNormalizer()
    tokenizer.pre_tokenizer = cut or BertPreTokenizer()
    if processor:
        tokenizer.post_processor = processor
    tokenizer.add_tokens(list(added))
    return tokenizer


def test_ids_are_those_of_the_words():
    """A word of two pieces gives both, an unknown one the unknown id, punctuation stands alone."""
    assert WordIds(bert())("Going. go\nqqq [x]") == [1, 2, 3, 1, 0, 4, 6, 5]


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=80))
def test_ascii_ids_are_those_of_the_tokenizer(text):
    assert IDS(text) in (None, SHIPPED.encode(text).ids)


@given(
    st.lists(
        st.one_of(PIECES, st.text(max_size=3).filter(lambda text: text.isprintable())), max_size=30
    )
)
def test_ids_of_any_script_are_those_of_the_tokenizer(pieces):
    """What is composed across a border, lowered by its neighbours or no white space to a tokenizer
    stays with its piece.
    """
    text = "".join(pieces)
    assert IDS(text) in (None, SHIPPED.encode(text).ids)


@pytest.mark.parametrize("text", ["bell\x07 rings", "null\x00", "delete\x7f", "unit\x1fseparator"])
def test_controls_are_left_to_the_tokenizer(text):
    """It removes them and so joins what stands beside them."""
    assert IDS(text) is None


def test_added_tokens_are_left_to_the_tokenizer():
    tokenizer = bert(added=[AddedToken("[x]", normalized=False)])
    assert WordIds(tokenizer)("go [x]") is None
    assert WordIds(tokenizer)("go [ x ]") == tokenizer.encode("go [ x ]").ids


@pytest.mark.parametrize(
    "other",
    [
        word_tokenizer(),
        bert(normalizer=Lowercase()),
        bert(normalizer=BertNormalizer(clean_text=False)),
        bert(cut=Whitespace()),
        bert(processor=TemplateProcessing(single="go $A", special_tokens=[("go", 1)])),
        bert(added=[AddedToken("ing", normalized=True)]),
    ],
)
def test_other_tokenizers_are_left_alone(other):
    assert WordIds(other)("go") is None


def test_case_is_kept_where_the_tokenizer_keeps_it():
    tokenizer = bert(normalizer=BertNormalizer(lowercase=False))
    assert WordIds(tokenizer)("Go go") == tokenizer.encode("Go go").ids == [0, 1]


def test_many_new_words_of_other_scripts_are_left_to_the_tokenizer_and_learned():
    """A few of them each time, until the text is known."""
    ids, text = WordIds(SHIPPED), "один два три четыре пять шесть"
    assert ids(text) is None
    assert ids(text) == SHIPPED.encode(text).ids


def test_kept_words_are_begun_anew_when_full(monkeypatch):
    """Whatever is sent, memory does not grow without end, and the ids stay right."""
    monkeypatch.setattr(difficulty.tokens, "_MOST_WORDS", 3)
    ids = WordIds(bert())
    for text in ("go going", "x . [", "go ] going", "q" * 1000):
        assert ids(text) == bert().encode(text).ids
        assert len(ids._ids) <= 3


@pytest.mark.parametrize(
    "text", ["é " + "a,b" * 4000, "é" + " " * 8000 + "x", "é " + "a" * 8000, "a," * 4000 + "é"]
)
def test_long_pieces_beside_other_scripts_have_the_same_ids(text):
    """A piece of thousands of characters is read once, not again from each of them."""
    assert WordIds(SHIPPED)(text) == SHIPPED.encode(text).ids


def test_another_tokenizer_at_the_same_path_is_another(tmp_path):
    """A process may train twice, and a relative path may come to mean another file."""
    path = tmp_path / "tokenizer.json"
    digests = set()
    for words in ({"[UNK]": 0, "one": 1}, {"[UNK]": 0, "two": 1}):
        Tokenizer(WordLevel(words, unk_token="[UNK]")).save(str(path))
        digests.add(digest_of_tokenizer(path))
        assert digest_of_tokenizer(path) == RequestTokenizer.from_file(path).digest
    assert len(digests) == 2
