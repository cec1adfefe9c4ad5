import json

from difficulty.export.parity import golden_requests
from difficulty.text import TextView

VIEW = TextView(1, max_chars=8192)


def test_ids_are_unique_and_plain():
    names = [request["id"] for request in golden_requests()]
    assert len(set(names)) == len(names) >= 50
    assert all(name and name.isascii() and " " not in name for name in names)


def test_requests_survive_ascii_json():
    """Other runtimes read them from ``golden.jsonl``; lone surrogates and control characters
    included.
    """
    text = json.dumps(golden_requests())
    assert text.isascii()
    assert json.loads(text) == golden_requests()


def test_requests_have_only_what_a_router_is_asked_with():
    for request in golden_requests():
        assert {"id", "messages"} <= set(request) <= {"id", "messages", "task", "given_tokens"}


def test_suite_is_made_anew_each_time():
    first = golden_requests()
    first[0]["messages"][0]["content"] = "changed"
    first.clear()
    assert golden_requests()[0]["messages"][0]["content"] != "changed"


def test_suite_holds_what_it_is_for():
    """Long texts that are cut, scripts, surrogates, conversations, and requests without text."""
    texts = {request["id"]: VIEW(request["messages"]) for request in golden_requests()}
    assert [name for name, view in texts.items() if view.truncated] == ["past-max-chars"]
    assert len(texts["past-max-tokens"].text.split()) > 512
    assert {name for name, view in texts.items() if not view.text.strip()} == {
        "empty",
        "blank",
        "no-messages",
        "null-content",
        "image-only",
    }
    assert "\ufffd" in texts["lone-surrogate"].text
    assert {request.get("task") for request in golden_requests()} >= {
        "classify",
        "multi-step planning",
        None,
    }
    assert sum(not view.text.isascii() for view in texts.values()) >= 15
