import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace
from tokenizers.processors import TemplateProcessing

import difficulty.wordpiece
from difficulty.training.shipped import shipped_file
from difficulty.wordpiece import WordIds
from tests.fakes import word_tokenizer

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
    monkeypatch.setattr(difficulty.wordpiece, "_MOST_KEPT", 3)
    ids = WordIds(bert())
    for text in ("go going", "x . [", "go ] going", "q" * 1000):
        assert ids(text) == bert().encode(text).ids
        assert len(ids._kept) <= 3


@pytest.mark.parametrize(
    "text", ["é " + "a,b" * 4000, "é" + " " * 8000 + "x", "é " + "a" * 8000, "a," * 4000 + "é"]
)
def test_long_pieces_beside_other_scripts_have_the_same_ids(text):
    """A piece of thousands of characters is read once, not again from each of them."""
    assert WordIds(SHIPPED)(text) == SHIPPED.encode(text).ids
