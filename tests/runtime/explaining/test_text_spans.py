"""Parts of texts: they put together are the text, coarse ones first."""

from hypothesis import given
from hypothesis import strategies as st

from difficulty.runtime.explaining.text_spans import Span, message_spans, split, without


def parts_of(text, *, most=12):
    return [span.of(text) for span in split(text, Span(0, len(text)), most=most)]


def test_coarsest_separator_comes_first():
    text = "One, two. Three\nfour\n\nfive"
    assert parts_of(text) == ["One, two. Three\nfour\n\n", "five"]
    assert parts_of("One, two. Three\nfour") == ["One, two. Three\n", "four"]
    assert parts_of("One, two. Three") == ["One, two. ", "Three"]
    assert parts_of("One, two") == ["One, ", "two"]
    assert parts_of("One two") == ["One ", "two"]
    assert parts_of("One") == ["One"]


def test_other_scripts_have_sentences_too():
    assert parts_of("一二。三四，五") == ["一二。", "三四，五"]


def test_numbers_and_names_are_not_cut_at_their_points():
    assert parts_of("v1.2.3 costs 4,500 USD", most=2) == ["v1.2.3 costs ", "4,500 USD"]


def test_many_small_parts_stand_together():
    text = "\n".join("line" for _ in range(100))
    parts = parts_of(text, most=5)
    assert len(parts) == 5
    assert max(map(len, parts)) < 2 * min(map(len, parts))


@given(st.text(alphabet="ab .,;!?\n\t。，“\"'", max_size=80), st.integers(2, 6))
def test_parts_put_together_are_the_text(text, most):
    spans = split(text, Span(0, len(text)), most=most)
    assert 1 <= len(spans) <= most
    assert "".join(span.of(text) for span in spans) == text
    assert without(text, spans) == ""


def test_long_runs_of_signs_are_read_once():
    """Read again from each of its signs, a run of a million would take hours."""
    for text in ("!" * 1_000_000, "\n" * 1_000_000, "! \t" * 100_000, '."' * 500_000):
        assert "".join(parts_of(text)) == text


def test_messages_are_found_in_order():
    messages = [{"role": "user", "content": "same"}, {}, 7, {"role": "user", "content": "same"}]
    assert message_spans("same\nsame", messages) == [(0, Span(0, 4)), (3, Span(5, 9))]
    assert message_spans("same", "same") == []
