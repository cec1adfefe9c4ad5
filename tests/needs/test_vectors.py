"""The vectors of the specification: what a body needs and which models take it, as the router in
Node.js has it too.

``python -m tests.needs.test_vectors`` writes them anew.
"""

import json

import numpy as np
import pytest

from difficulty.bundle import Policy
from difficulty.needs import Needs
from difficulty.needs.takers import find_takers
from difficulty.runtime import Router
from tests.conftest import REPOSITORY
from tests.needs.bodies import make_body
from tests.runtime.conftest import hand_made

FILE = REPOSITORY / "docs" / "vectors" / "eligibility.jsonl"
POLICY = json.loads((REPOSITORY / "docs" / "vectors" / "policy.json").read_text())
NAMES = (
    *("modalities", "tools", "json_schema", "answer_tokens", "languages", "residency"),
    *("ask_in_media", "prompt_tokens"),
)
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
FILE_PART = {"type": "file", "file": {"file_id": "f1"}}
SHOWN = [{"type": "tool_result", "tool_use_id": "1", "content": [IMAGE]}]
SEEING = {"cheap": {"modalities": ["text", "image"]}}
SMALL = {"cheap": {"context_tokens": 100}, "answer_tokens": 20}


def user(*parts):
    return {"messages": [{"role": "user", "content": list(parts)}]}


def turns(*contents):
    """Return a body whose messages are the user's and the model's by turns; two of the user's."""
    roles = ("user", "user") if len(contents) == 2 else ("user", "assistant") * 3
    return {
        "messages": [
            {"role": role, "content": content}
            for role, content in zip(roles, contents, strict=False)
        ]
    }


def text(content):
    return {"type": "text", "text": content}


BY_HAND = {
    "plain text": (None, {"messages": "What came on Monday?"}, {}),
    "given count past what is not stated": (None, {"messages": "x"}, {"given": 31_745}),
    "given count at the window": (SMALL, {"messages": "x"}, {"given": 80}),
    "given count past the window": (SMALL, {"messages": "x"}, {"given": 81}),
    "count of the scorer's tokenizer": (SMALL, {"messages": "x"}, {"counted": 54}),
    "count of the tokenizer below": (SMALL, {"messages": "x"}, {"counted": 53}),
    "room for the answer": (SMALL, {"messages": "x", "max_tokens": 101}, {}),
    "letters, digits, marks, other scripts": (
        SMALL,
        {"messages": "Zwölf 12,5 % — 字字 😀 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \ud83d {}[]"},
        {},
    ),
    "run without a space": (
        {"cheap": {"context_tokens": 2_000}},
        {"messages": "see " + "aB3/" * 20 + " and " + "x" * 32},
        {},
    ),
    "text and image, nothing stated": (None, user(text("What is this?"), IMAGE), {}),
    "text and image, images taken": (
        {"cheap": {"modalities": ["text", "image"]}},
        user(text("What is this?"), IMAGE),
        {},
    ),
    "much text beside an image": (
        {"cheap": {"modalities": ["text", "image"]}},
        user(text("one two " * 30), IMAGE),
        {},
    ),
    "image alone, images taken": ({"cheap": {"modalities": ["image"]}}, user(IMAGE), {}),
    "image one turn before": (SEEING, turns([IMAGE], "what is in it?"), {}),
    "image with text before": (SEEING, turns([text("one two " * 30), IMAGE], "Sum it up."), {}),
    "image before, another ask": (
        SEEING,
        turns([text("one two " * 30), IMAGE], "Thanks, go on"),
        {},
    ),
    "image before an answer": (SEEING, turns([IMAGE], "A cat.", "And which colour is it?"), {}),
    "image before an answer, named": (
        SEEING,
        turns([IMAGE], "A cat.", "What stands behind it in the Picture?"),
        {},
    ),
    "image before a call": (
        SEEING,
        turns([IMAGE], [text("x"), {"type": "tool_use", "name": "f", "input": {}}], "and now?"),
        {},
    ),
    "image in a result handed on": (
        SEEING,
        turns("Open it.", "", [{"type": "tool_result", "content": [IMAGE]}], "", "Is that so?"),
        {},
    ),
    "image that a tool shows": (
        SEEING,
        turns("Click on it.", [text("x"), {"type": "tool_use", "name": "f", "input": {}}], SHOWN),
        {},
    ),
    "result of a hosted tool": (
        {"cheap": {"tools": False}},
        user(text("x"), {"type": "web_search_tool_result", "content": [{"type": "text"}]}),
        {},
    ),
    "file that is named only": (
        {"cheap": {"modalities": ["file"]}, "frontier": {"context_tokens": 10**6}},
        user(text("x"), FILE_PART),
        {},
    ),
    "unknown part": (None, user(text("x"), {"type": "hologram", "x": [1, None, True]}), {}),
    "types that are none": (None, user({"type": 5}, {"type": None}, None, 7), {}),
    "neither takes tools": (
        {"cheap": {"tools": False}, "frontier": {"tools": False}},
        {"messages": "x", "tools": [{"name": "f"}]},
        {},
    ),
    "frontier without tools": (
        {"frontier": {"tools": False}},
        {"messages": "x", "tools": [{"name": "f"}]},
        {},
    ),
    "empty tools are none": ({"cheap": {"tools": False}}, {"messages": "x", "tools": []}, {}),
    "tools that are text": ({"cheap": {"tools": False}}, {"messages": "x", "tools": "f"}, {}),
    "place that nobody stated": (None, {"messages": "x", "residency": "EU"}, {}),
    "place of one": ({"cheap": {"residency": ["EU"]}}, {"messages": "x", "residency": "eu"}, {}),
    "tags of odd types": (
        {"cheap": {"residency": ["eu"]}, "frontier": {"residency": ["eu"]}},
        {"messages": "x", "metadata": {"residency": [None, {"eu": 1}, "eu", ""]}},
        {},
    ),
    "tags in place of a list": (None, {"messages": "x", "residency": {"eu": True}}, {}),
    "languages": (
        {"cheap": {"languages": ["en", "de"]}},
        {"messages": "x", "languages": ["de-AT", "th"]},
        {},
    ),
    "null everywhere": (
        {"cheap": {"modalities": None, "tools": None}, "frontier": {"residency": None}},
        {"messages": None, "input": "x", "tools": None, "max_tokens": None, "metadata": None},
        {},
    ),
    "fields of other types": (
        None,
        {"messages": "x", "response_format": 5, "text": "x", "max_tokens": "9", "metadata": []},
        {},
    ),
}
LIMITS = [
    {"cheap": {"context_tokens": 150, "tools": False}},
    {"cheap": {"context_tokens": 6_000, "modalities": ["image"], "json_schema": False}},
    {
        "cheap": {"modalities": ["text", "image", "audio", "video", "file"], "languages": ["en"]},
        "frontier": {"context_tokens": 2_500, "residency": ["eu"], "tools": False},
        "answer_tokens": 64,
    },
    {"cheap": {"residency": ["eu", "us"]}, "frontier": {"modalities": ["text"]}},
]


def cases():
    """Yield name, limits, body and counts."""
    for name, (limits, body, counts) in BY_HAND.items():
        yield name, limits, body, counts
    rng, number = np.random.default_rng(19), 0
    while number < 60:
        body, form, truth = make_body(rng)
        if len(truth.texts[0]) > 600:
            continue
        number += 1
        yield f"{form} {number}", LIMITS[number % len(LIMITS)], body, {}


def vector(name, limits, body, counts):
    counts = {"given": None, "counted": None} | counts
    needs = Needs.of(body)
    policy = Policy.parse(POLICY | {"eligibility": limits})
    taking = find_takers(policy.eligibility, needs, **counts)
    router = Router(hand_made().scorer, policy, version="docs-1")
    messages = body.get("messages")
    decision = router.decide(
        messages if messages is not None else body.get("input", []),
        tokens=counts["given"],
        tools=body.get("tools"),
        needs=needs,
    )
    return {
        "case": name,
        "eligibility": limits,
        "body": body,
        **counts,
        "needs": {each: plain(getattr(needs, each)) for each in NAMES},
        "can_take": taking.takers,
        "ineligible": list(taking.rules),
        "route": decision.route,
        "reason": decision.reason,
    }


def plain(value):
    return list(value) if isinstance(value, tuple) else value


def lines():
    return [json.dumps(vector(*case)) for case in cases()]


def test_vectors_are_those_of_the_code():
    assert FILE.read_text().splitlines() == lines()


@pytest.mark.parametrize("rule", ["context_window", "image", "file", "unknown_part", "tools"])
def test_vectors_hold_each_rule(rule):
    assert f'.{rule}"' in FILE.read_text()


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n")
