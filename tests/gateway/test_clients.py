"""What a client may say of its request, and how a value that is none is left out."""

import pytest

from difficulty.gateway.clients import Said, read_said

ALL = ("task", "prompt_tokens", "id")
FORM = {"task": "classify", "prompt_tokens": "12", "id": "mine", "mood": "fine"}


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ((), Said()),
        (("task",), Said(task="classify")),
        (("prompt_tokens",), Said(tokens=12)),
        (("id",), Said(id="mine")),
        (ALL, Said("classify", 12, "mine")),
    ],
)
def test_only_what_a_client_may_say_is_read(allowed, said):
    assert read_said(FORM, allowed=allowed) == said


@pytest.mark.parametrize("count", [2**63, "9223372036854775808", "9" * 5_000, -1, True, 1.5, "x"])
def test_count_that_is_none_is_left_out_with_a_note(count):
    said = read_said({"prompt_tokens": count}, allowed=ALL)
    assert said == Said(notes=("tokens: no count that 64 bits hold",))


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("caf\ud83d", ("task: not valid text",)),
        ("x" * 201, ("task: longer than 200 characters",)),
        ("", ()),
        (7, ()),
        (["classify"], ()),
    ],
)
def test_task_that_is_none_is_left_out(text, notes):
    assert read_said({"task": text}, allowed=ALL) == Said(notes=notes)
