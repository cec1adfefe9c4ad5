import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.text import TextView, View, message_text, render


def user(content, **more):
    return {"role": "user", "content": content, **more}


def test_view_of_a_conversation_is_its_texts_line_by_line_without_roles():
    view = TextView()(
        [
            {"role": "system", "content": "Be brief."},
            user("Hi"),
            {"role": "assistant", "content": "Hello"},
        ]
    )
    assert view == View("Be brief.\nHi\nHello", 18)


def test_view_of_a_string_is_that_of_one_user_message():
    assert TextView()("Hi there") == TextView()([user("Hi there")]) == View("Hi there", 8)


def test_view_leaves_out_messages_without_text():
    """Two texts are joined by one newline, however many empty messages stand between."""
    assert (
        render([user("a"), user(None), user(""), user([]), {"role": "assistant"}, user("b")])
        == "a\nb"
    )


@pytest.mark.parametrize("messages", [[], [user(None)], [user("")], [user("", tool_calls=[])]])
def test_view_of_no_text_is_empty(messages):
    assert TextView()(messages) == View("", 0)
    assert TextView(2)(messages) == View("", 0, question="")


def test_message_of_parts_is_the_text_of_those_that_have_one():
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": None},
        "plain",
        7,
        {"type": "text", "text": "Say it."},
    ]
    assert message_text(user(parts)) == "What is this?\nplain\nSay it."


def test_message_with_tool_calls_has_a_line_for_each_call():
    calls = [
        {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
        {"type": "function", "function": {"name": "now", "arguments": None}},
        {"type": "other"},
    ]
    assert (
        message_text({"role": "assistant", "content": None, "tool_calls": calls})
        == 'weather({"city": "Oslo"})\nnow()'
    )
    assert message_text(user("Look:", tool_calls=calls[1:2])) == "Look:\nnow()"


def test_tool_arguments_that_are_no_string_are_written_as_json():
    """In a form that every language can reproduce, not as Python shows them."""
    calls = [
        {"function": {"name": "weather", "arguments": {"city": "Århus", "days": [1, None, True]}}}
    ]
    assert (
        message_text(user("", tool_calls=calls)) == 'weather({"city":"Århus","days":[1,null,true]})'
    )


def test_view_replaces_lone_surrogates_and_keeps_emoji():
    assert TextView()("a\ud83d b \U0001f600").text == "a\ufffd b \U0001f600"


@pytest.mark.parametrize(
    ("text", "max_chars", "expected"),
    [
        ("abcd", 4, ("abcd", 4, False)),
        ("abcde", 4, ("ab\nde", 5, True)),
        ("abcdefghij", 4, ("ab\nij", 10, True)),
        ("abcdefghij", 5, ("ab\nij", 10, True)),
        ("abc", 2, ("a\nc", 3, True)),
    ],
)
def test_view_of_a_long_text_keeps_head_and_tail(text, max_chars, expected):
    assert TextView(max_chars=max_chars)(text) == View(*expected)
    assert TextView(2, max_chars=max_chars)(text) == View(*expected, question=text)


@pytest.mark.parametrize("message", ["Hi", None, 7, ["role", "user"]])
def test_message_that_is_no_object_is_refused(message):
    with pytest.raises(
        InvalidValueError, match="a message must be an object with role and content"
    ):
        render([user("fine"), message])


@pytest.mark.parametrize("messages", [None, 7, {"messages": [{"role": "user"}]}, object()])
def test_messages_that_are_no_list_are_refused_by_their_type(messages):
    """A whole body is handed in most often."""
    with pytest.raises(InvalidValueError, match="messages must be a text or a list of messages"):
        render(messages)


@pytest.mark.parametrize("content", [7, True, {"text": "Hi"}, b"Hi"])
def test_message_content_of_another_type_is_refused(content):
    with pytest.raises(
        InvalidValueError, match="message content must be a string, a list of content parts or null"
    ):
        message_text(user(content))


def test_view_of_an_unknown_version_is_refused():
    with pytest.raises(InvalidValueError, match=r"text view must be one of \[1, 2\]: got 3"):
        TextView(3)


def test_view_of_one_character_is_refused():
    with pytest.raises(InvalidValueError, match="max_chars must be at least 2"):
        TextView(max_chars=1)


@given(st.text(st.characters(), max_size=40), st.integers(2, 30))
def test_view_is_bounded_and_can_be_encoded(text, max_chars):
    """Whatever comes, also lone surrogates, the text has UTF-8 and at most one newline more than
    allowed.
    """
    view = TextView(max_chars=max_chars)(text)
    assert len(view.text.encode("utf-8")) >= len(view.text)
    assert len(view.text) <= max_chars + 1
    assert view.truncated == (len(text) > max_chars)
    assert view.total_chars == len(text)
