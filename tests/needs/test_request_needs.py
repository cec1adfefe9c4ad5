import json

import numpy as np
import pytest

from difficulty.errors import RequestError
from difficulty.needs import Eligibility, ModelLimits, Needs
from difficulty.needs.prompt_size import UNIT, count_units, least_units, most_units
from difficulty.needs.request_needs import HARDLY_ANY, IMAGE_TOKENS, MESSAGE_TOKENS
from difficulty.needs.takers import find_takers
from tests.needs.bodies import ASKS_SCHEMA, FORMS, MEDIA, TOOLS, make_body

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


def user(*parts):
    return {"messages": [{"role": "user", "content": list(parts)}]}


def text(content):
    return {"type": "text", "text": content}


def test_plain_request_needs_nothing():
    needs = Needs.of({"messages": [{"role": "user", "content": "What came on Monday?"}]})
    assert needs == Needs(is_read=True, _texts=("What came on Monday?",), _units=8 * UNIT)
    # 16 letters, 3 spaces: 19/3; one mark: 3/4; eight for the message: 15.08.
    assert needs.prompt_tokens == 16


@pytest.mark.parametrize(
    ("content", "sixtieths"),
    [
        ("", 0),
        ("abc", 3 * 20),
        ("a b\tc\n", 6 * 20),
        ("12", 2 * 60),
        ('{"a": 1}', 20 * 2 + 60 + 5 * 45),
        ("é", 2 * 40),
        ("字", 3 * 40),
        ("\ud83d", 3 * 40),
        ("x" * 32, 32 * 20),
        ("x" * 33, 33 * 48),
        ("x" * 16 + "字" + "x" * 17, 33 * 20 + 120),
        ("x" * 33 + " y", 33 * 48 + 40),
    ],
)
def test_tokens_by_hand(content, sixtieths):
    assert count_units(content) == sixtieths
    assert least_units(len(content)) <= sixtieths
    assert sixtieths <= most_units(len(content), is_ascii=content.isascii())


@pytest.mark.parametrize("form", FORMS)
def test_media_are_typed_in_every_form(form):
    key = "input" if form == "responses" else "messages"
    for kind, part in MEDIA[form].items():
        assert Needs.of({key: [{"role": "user", "content": [part]}]}).modalities == (kind,)


@pytest.mark.parametrize("form", FORMS)
def test_tools_and_schemas_are_seen_in_every_form(form):
    needs = Needs.of({"input": "x", "tools": TOOLS[form]} | ASKS_SCHEMA[form])
    assert (needs.tools, needs.json_schema) == (True, True)
    assert needs.prompt_tokens > 15
    plain = Needs.of({"input": "x", "tools": [], "response_format": {"type": "json_object"}})
    assert (plain.tools, plain.json_schema) == (False, False)


def test_calls_and_results_need_a_model_with_tools():
    assert Needs.of({"messages": [{"role": "tool", "content": "x"}]}).tools
    assert Needs.of(user({"type": "tool_result", "content": "x"})).tools
    assert not Needs.of({"messages": [{"role": "assistant", "tool_calls": []}]}).tools


def test_ask_lies_in_media_where_hardly_any_text_stands_beside():
    assert Needs.of(user(text("What is this?"), IMAGE)).ask_in_media
    assert Needs.of(user(IMAGE)).ask_in_media
    assert not Needs.of(user(text("x" * HARDLY_ANY), IMAGE)).ask_in_media
    assert Needs.of(user(text("x " * (HARDLY_ANY - 1)), IMAGE)).ask_in_media


def test_ask_is_that_of_the_last_user_turn():
    shown, asked = user(IMAGE)["messages"], user(text("And the second one?"))["messages"]
    needs = Needs.of({"messages": [*shown, {"role": "assistant", "content": "A cat."}, *asked]})
    assert (needs.ask_in_media, needs.modalities) == (False, ("image",))
    after = [*asked, *shown, {"role": "assistant", "content": "Let me look."}]
    assert Needs.of({"messages": after}).ask_in_media


def turns(*messages):
    """Return a body of messages, each a role and its content."""
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


ANSWER = ("assistant", "A cat.")
CALLED = {"role": "assistant", "content": "Let me look.", "tool_calls": [{"id": "1"}]}
SHOWN = ("user", [IMAGE])


@pytest.mark.parametrize(
    ("messages", "is_in_media"),
    [
        ((SHOWN, ("user", "what is in it?")), True),
        ((SHOWN, ("user", "\u4ec0\u4e48\uff1f")), True),
        ((("user", [text("word " * 60), IMAGE]), ("user", "Sum it up.")), True),
        ((("user", [text("word " * 60), IMAGE]), ("user", "Thanks, go on")), False),
        ((SHOWN, ("user", "word " * 60)), False),
        ((SHOWN, ANSWER, ("user", "And which colour is it?")), False),
        ((SHOWN, ANSWER, ("user", "What stands behind it in the picture?")), True),
        ((SHOWN, ("assistant", " "), ("user", "what is it?")), True),
        ((ANSWER, ("user", "What is in the picture?")), False),
        ((("tool", [IMAGE]), ("user", "Is that right?")), True),
        ((("user", [{"type": "tool_result", "content": [IMAGE]}]), ("user", "And now?")), True),
        ((("user", "Open the page."), ("user", [{"type": "tool_result", "content": "ok"}])), False),
        ((SHOWN, ("user", [{"type": "tool_result", "content": "word " * 60}])), True),
        ((("user", "Click on it."), ("tool", [IMAGE])), True),
        ((("user", "Click."), ("user", [{"type": "tool_result", "content": [IMAGE]}])), True),
        ((("user", "word " * 60), ("tool", [IMAGE])), False),
        ((("user", "Draw a cat."), ("assistant", [IMAGE])), False),
    ],
)
def test_ask_in_media_that_stand_before_it_is_found(messages, is_in_media):
    assert Needs.of(turns(*messages)).ask_in_media is is_in_media


def test_what_the_model_says_before_a_call_is_no_answer():
    shown, asked = turns(SHOWN, ("user", "and this one?"))["messages"]
    assert Needs.of({"messages": [shown, CALLED, asked]}).ask_in_media
    used = [text("Let me look."), {"type": "tool_use", "name": "f", "input": {}}]
    blocks = {"role": "assistant", "content": used}
    assert Needs.of({"messages": [shown, blocks, asked]}).ask_in_media
    blocks = {"role": "assistant", "content": used[:1]}
    assert not Needs.of({"messages": [shown, blocks, asked]}).ask_in_media


def test_media_count_by_their_size_and_what_is_named_only_has_none():
    around = MESSAGE_TOKENS
    assert Needs.of(user(IMAGE)).prompt_tokens == IMAGE_TOKENS + around
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 4_000}}
    assert Needs.of(user(file)).prompt_tokens == 3_000 // 4 + around
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 4_000}}
    assert Needs.of(user(sound)).prompt_tokens == 3_000 // 50 + around
    named = {"type": "file", "file": {"file_id": "f1"}}
    assert Needs.of(user(named)).prompt_tokens is None
    assert Needs.of(user(named)).has_more_tokens(10**12)
    plain = {"type": "document", "source": {"type": "text", "data": "abc" * 10}}
    assert Needs.of(user(plain)).prompt_tokens == 10 + around


@pytest.mark.parametrize(
    ("fields", "room"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 10**400}, 2**53 - 1),
        ({"max_tokens": True}, None),
        ({"max_tokens": "5"}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 5.0}, 5),
        ({"max_tokens": 5.5}, None),
        ({"max_tokens": 1e300}, 2**53 - 1),
        ({"max_tokens": float("inf")}, None),
    ],
)
def test_room_for_the_answer(fields, room):
    assert Needs.of({"messages": "x"} | fields).answer_tokens == room


@pytest.mark.parametrize(
    ("tags", "read"),
    [
        (None, ()),
        ("EU", ("eu",)),
        (["eu", "EU", " us "], ("eu", "us")),
        ([], ()),
        (5, ("?",)),
        ({"eu": True}, ("?",)),
        ([None, "eu"], ("?", "eu")),
        ([""], ("?",)),
        (["x" * 101], ("?",)),
        (["eu"] * 33, ("?",)),
    ],
)
def test_tags_of_odd_types_are_demands_that_nobody_meets(tags, read):
    for body in ({"residency": tags}, {"metadata": {"residency": tags}}):
        assert Needs.of({"messages": "x"} | body).residency == read
    assert Needs.of({"messages": "x", "languages": ["de-AT", "en"]}).languages == ("de", "en")


def circle():
    schema = {"type": "object"}
    schema["properties"] = {"self": schema}
    return schema


ODD = {
    "nothing": {},
    "context as a string": {"messages": [{"role": "user", "content": "context: x"}], "tools": "x"},
    "messages of a number": {"messages": 5},
    "messages of bytes": {"messages": b"x"},
    "content of a number": {"messages": [{"role": "user", "content": 5}]},
    "types that are none": user({"type": 5}, {"type": None}, {"type": []}, None, 7, b"x"),
    "list in a list": user([text("x")]),
    "role that is none": {"messages": [{"role": [], "content": [IMAGE]}]},
    "cyclic schema": {"messages": "x", "tools": [{"name": "f", "input_schema": circle()}]},
    "deep content": {
        "messages": [
            {"content": json.loads('[{"type":"tool_result","content":' * 300 + '""' + "}]" * 300)}
        ]
    },
    "ten thousand tools": {"messages": "x", "tools": TOOLS["chat"] * 10_000},
    "image of nothing": user({"type": "image_url", "image_url": None}),
    "sizes of nothing": user({"type": "input_audio", "input_audio": {"data": 5}}),
    "format of nothing": {"messages": "x", "response_format": 5, "text": "x", "metadata": "x"},
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_bodies_are_read(body):
    needs = Needs.of(body)
    assert needs.prompt_tokens is None or needs.prompt_tokens >= 0
    assert needs.has_more_tokens(100) in (True, False)


def test_what_is_not_known_is_unknown():
    assert Needs.of(ODD["types that are none"]).modalities == ("unknown",)
    assert Needs.of(ODD["deep content"]).modalities == ("unknown",)
    assert Needs.of(ODD["cyclic schema"]).has_more_tokens(10**9)
    assert Needs.of(ODD["ten thousand tools"]).has_more_tokens(100_000)


def test_shortcuts_say_what_the_count_says():
    rng = np.random.default_rng(5)
    for _ in range(300):
        needs = Needs.of(make_body(rng)[0])
        tokens = needs.prompt_tokens
        limits = rng.integers(0, 50_000, 5).tolist()
        limits += [] if tokens is None else [tokens - 1, tokens, tokens + 1]
        for limit in limits:
            assert needs.has_more_tokens(limit) == (tokens is None or tokens > limit)


def test_nothing_of_a_request_stands_in_what_is_printed():
    assert "SECRET" not in repr(Needs.of({"messages": "SECRET"}))


def test_joined_needs_are_those_of_both():
    read = Needs.of(user(text("x"), IMAGE))
    both = read.joined(Needs(residency=("eu",), tools=True, answer_tokens=9))
    assert (both.modalities, both.residency, both.tools, both.answer_tokens) == (
        ("image",),
        ("eu",),
        True,
        9,
    )
    assert both.prompt_tokens == read.prompt_tokens


@pytest.mark.parametrize("told", [("EU",), "eu", [" Eu "], {"eu"}])
def test_tags_that_a_caller_tells_are_compared_as_those_of_a_body(told):
    stated = Eligibility(cheap=ModelLimits(residency=("EU",), languages=("de",)))
    assert find_takers(stated, Needs(residency=told, languages=("DE-at",))).takers == "cheap"


@pytest.mark.parametrize("told", [5, [None], ["us"], "?", b"eu", {"eu": 1}])
def test_tags_that_are_none_are_had_by_no_model(told):
    """Nor is anything raised by them."""
    stated = Eligibility(cheap=ModelLimits(residency=("eu",)))
    assert "cheap.residency" in find_takers(stated, Needs(residency=told)).rules


@pytest.mark.parametrize("body", [None, 5, "x", [], [("messages", "x")]])
def test_what_is_no_body_is_refused(body):
    with pytest.raises(RequestError, match="must be an object"):
        Needs.of(body)
