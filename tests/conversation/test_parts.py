import pytest
from hypothesis import given, settings

from difficulty.conversation import as_chat, messages_of, read_parts
from difficulty.errors import RequestError
from tests.conversation.forms import BODIES, PIXEL, requests

WEATHER = {"city": "Oslo", "days": 2}


def kinds(messages):
    return [(part.kind, part.role, part.text) for part in read_parts(messages)]


@given(requests)
@settings(max_examples=150, deadline=None)
def test_the_same_request_has_the_same_parts_in_every_form(steps):
    # Chat completions and Responses write a call's arguments as ASCII or not, as the client likes.
    chat, anthropic, responses = (
        [part for part in read_parts(messages_of(form(steps))) if part.kind != "call"]
        for form in BODIES
    )
    assert chat == anthropic == responses
    assert len(chat) == len(steps) - sum(step[0] == "call" for step in steps)


@pytest.mark.parametrize("form", BODIES)
@given(requests)
@settings(max_examples=60, deadline=None)
def test_what_is_brought_into_the_form_of_a_chat_has_the_parts_that_it_had(form, steps):
    body = form(steps)
    listed = body.get("messages") or body["input"]
    assert read_parts(as_chat(listed)) == read_parts(listed)


def test_a_tool_loop_is_read_in_every_form():
    steps = [
        ("system", "Be brief."),
        ("user", "Will it rain?"),
        ("call", "weather", WEATHER),
        ("result", "Error: no such city"),
        ("call", "weather", WEATHER),
        ("result", "rain"),
    ]
    parts, *others = (read_parts(messages_of(form(steps))) for form in BODIES)
    assert others == [parts, parts]
    assert [(part.kind, part.role, part.turn, part.name, part.failed) for part in parts] == [
        ("text", "system", 0, "", None),
        ("text", "user", 1, "", None),
        ("call", "assistant", 2, "weather", None),
        ("result", "tool", 3, "weather", True),
        ("call", "assistant", 4, "weather", None),
        ("result", "tool", 5, "weather", False),
    ]
    assert parts[2].text == 'weather({"city":"Oslo","days":2})'


@pytest.mark.parametrize(
    ("block", "kind", "size"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, "image", 0),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}, "image", 9),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio", 3),
        ({"type": "video_url", "video_url": {"url": "https://a.example/c.mp4"}}, "video", 0),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}, "file", 3),
        ({"type": "document", "source": {"type": "base64", "data": "AAAAAAAA"}}, "file", 6),
        ({"type": "hologram", "data": {"x": 1}}, "unknown", 0),
        ({"type": 7}, "unknown", 0),
        (b"\xff", "unknown", 0),
        (12, "unknown", 0),
        ({}, "unknown", 0),
    ],
)
def test_what_is_attached_is_typed_and_weighed(block, kind, size):
    parts = read_parts([{"role": "user", "content": [{"type": "text", "text": "See:"}, block]}])
    assert [(part.kind, part.size) for part in parts] == [("text", 0), (kind, size)]


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        ("", None),
        ("  \n", None),
        ("12 passed in 0.3s", False),
        ("Error: ENOENT", True),
        ("ValueError: x", True),
        ("requests.exceptions.HTTPError: 404", True),
        ("Traceback (most recent call last):\n  File", True),
        ('{"error": {"code": 404}}', True),
        ('{"error": null, "rows": []}', False),
        ('{"success": false}', True),
        ('{"success":true}', False),
        ('{"is_error": true}', True),
        ("Exit code 1\nFAILED tests/test_a.py", True),
        ("exit code: 0", False),
        ("Errors are found by the linter of the house", True),
        ("No errors.", False),
        ("erroneous", False),
    ],
)
def test_a_result_says_whether_it_failed_where_it_begins(said, failed):
    (part,) = read_parts([{"role": "tool", "content": said}])
    assert part.failed is failed


def test_the_form_says_it_before_the_text_does():
    block = {"type": "tool_result", "content": "Error: none left", "is_error": False}
    (part,) = read_parts([{"role": "user", "content": [block]}])
    assert (part.kind, part.role, part.failed) == ("result", "tool", False)


def test_thoughts_are_no_part_and_documents_of_text_are_text():
    content = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "document", "source": {"type": "text", "data": "Rules"}},
        {"type": "search_result", "content": [{"type": "text", "text": "found"}]},
        {"type": "refusal", "refusal": "No."},
    ]
    assert kinds([{"role": "assistant", "content": content}, {"type": "reasoning"}]) == [
        ("text", "assistant", "Rules"),
        ("text", "assistant", "found"),
        ("text", "assistant", "No."),
    ]


@pytest.mark.parametrize(
    "messages", [{"messages": []}, 7, None, ["x"], [{"role": "user", "content": {"type": "text"}}]]
)
def test_what_is_no_request_is_refused_without_its_text(messages):
    with pytest.raises(RequestError):
        read_parts(messages)


def test_hostile_requests_are_read_in_time_and_nothing_else_is_raised():
    """Objects that hold themselves, results nested 100,000 deep, bytes in place of texts."""
    holds_itself = {}
    holds_itself["a"] = holds_itself
    nested = {"type": "tool_result", "content": "x"}
    for _ in range(100_000):
        nested = {"type": "tool_result", "content": [nested]}
    messages = [
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "f", "arguments": holds_itself}}],
        },
        {"role": "user", "content": [nested, {"type": "tool_result", "content": b"\x00\xff"}]},
        {"role": "tool", "content": {"rows": [1, 2]}},
        {"role": 5, "content": "who"},
        *({"role": "assistant", "tool_calls": [{"id": str(n), "function": {}}]} for n in range(9)),
    ]
    found = kinds(messages)
    assert found[:2] == [("call", "assistant", "f()"), ("result", "tool", "")]
    assert ("result", "tool", '{"rows":[1,2]}') in found
    assert ("text", "user", "who") in found


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"messages": [1]}, [1]),
        ({"input": "hi"}, "hi"),
        ({"input": "hi", "instructions": "be kind"}, ["be kind", "hi"]),
        ({"messages": [{"role": "user", "content": "a"}], "system": "s"}, ["s", "a"]),
        ({"system": "s"}, None),
        ({"messages": 7, "system": "s"}, 7),
    ],
)
def test_instructions_beside_the_messages_come_first(body, messages):
    read = messages_of(body)
    if isinstance(read, list) and read != [1]:
        read = [message["content"] for message in read]
    assert read == messages
