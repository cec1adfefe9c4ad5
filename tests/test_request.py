import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, TrafficNotFoundError
from difficulty.request import Request, read_count, read_held, read_requests, request_row
from difficulty.routes import Held
from difficulty.text import TextView

LINES = [
    b'{"id": "a", "prompt": "Hello", "task": "code", "prompt_tokens": 12}',
    b"",
    b'{"messages": [{"role": "user", "content": "Hi"}], "task": null}',
    b"   ",
    b'{"id": 7, "prompt": "Bye"}',
]


def rows_of(path, content):
    path.write_bytes(content)
    return list(read_requests(path))


def test_requests_by_hand(tmp_path):
    """Blank lines are no requests, but they count as lines: a request without an id is named by its
    line.
    """
    first, second, third = rows_of(tmp_path / "in.jsonl", b"\n".join(LINES))
    assert (first.id, first.request, first.problem) == ("a", Request("Hello", "code", 12), None)
    assert (second.id, second.request) == ("3", Request([{"role": "user", "content": "Hi"}]))
    assert (third.id, third.request.messages) == ("7", "Bye")


@pytest.mark.parametrize("name", ["in.jsonl.gz", "in.ndjson.gz", "IN.JSONL.GZ"])
def test_zipped_requests_are_the_same(tmp_path, name):
    plain = rows_of(tmp_path / "in.ndjson", b"\n".join(LINES))
    assert rows_of(tmp_path / name, gzip.compress(b"\n".join(LINES))) == plain


def test_standard_input_is_read_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\r\n".join(LINES))))
    assert list(read_requests(Path("-"))) == rows_of(tmp_path / "in.jsonl", b"\n".join(LINES))


@pytest.mark.parametrize(
    ("line", "name", "problem"),
    [
        (b"{oops", "2", "line 2 must be a JSON object: it breaks at character 2"),
        (b'{"prompt": "\xff\xfe"}', "2", "line 2 must be a JSON object: it is no UTF-8, from byte"),
        (b"[1, 2]", "2", "line 2 must be a JSON object: got a list"),
        (b"null", "2", "line 2 must be a JSON object: got null"),
        (b"[" * 200_000, "2", "line 2 must be a JSON object: "),
        (b'{"id": "x", "text": "hello"}', "x", "line 2 must have messages or prompt: got neither"),
        (b'{"id": "x", "prompt": 5}', "x", "line 2 must have messages or prompt: got a number"),
        (b'{"id": "x", "messages": {"role": "user"}}', "x", "line 2 must have messages or prompt"),
        (b'{"id": "x", "messages": null}', "x", "line 2 must have messages or prompt"),
    ],
    ids=range(9),
)
def test_line_that_cannot_be_read_keeps_its_place(tmp_path, line, name, problem):
    before, bad, after = rows_of(
        tmp_path / "in.jsonl", b'{"prompt": "a"}\n' + line + b'\n{"prompt": "b"}\n'
    )
    assert (before.request.messages, after.request.messages, after.id) == ("a", "b", "3")
    assert (bad.id, bad.request.messages) == (name, [])
    assert bad.problem.startswith(problem)


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.float32, np.float64])
def test_numpys_numbers_are_numbers(number):
    """As a caller's own code counts seconds; a count is a whole number of whatever type."""
    held = read_held(Held("cheap", idle_s=number(12), switch_cost_usd=number(1)))
    assert (held.idle_s, held.switch_cost_usd) == (12.0, 1.0)
    assert type(held.idle_s) is float
    count = read_count(number(12))
    assert count == (12 if issubclass(number, np.integer) else None)
    assert read_count(np.bool_(True)) is None
    assert read_held(Held("cheap", idle_s=np.nan)).idle_s is None


def test_misspelt_key_is_named_with_the_one_that_was_meant():
    """A key that is near none may be anything of the user's, and is not told."""
    problem = request_row({"mesages": [], "SECRET": 1}, 3, noun="request").problem
    assert problem == (
        "request 3 must have messages or prompt: got neither (there is 'mesages': did you mean"
        " 'messages'?)"
    )
    assert "SECRET" not in request_row({"SECRET": "x"}, 1).problem
    assert request_row({"input": "Hi", "instructions": "Be brief."}, 1).request.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


@pytest.mark.parametrize(
    ("form", "name", "request_"),
    [
        ({"id": 0, "prompt": "x"}, "0", ("x", None, None)),
        ({"id": "", "prompt": "x"}, "1", ("x", None, None)),
        ({"id": None, "prompt": "x"}, "1", ("x", None, None)),
        ({"id": "\ud800", "prompt": "x"}, "\ud800", ("x", None, None)),
        ({"messages": None, "prompt": "x"}, "1", ("x", None, None)),
        ({"prompt": "x", "task": 5, "prompt_tokens": "12"}, "1", ("x", None, None)),
        ({"prompt": "x", "task": "", "prompt_tokens": -1}, "1", ("x", None, None)),
        ({"prompt": "x", "prompt_tokens": True}, "1", ("x", None, None)),
        ({"prompt": "", "prompt_tokens": 0}, "1", ("", None, 0)),
    ],
    ids=str,
)
def test_unusable_optional_field_is_left_out(tmp_path, form, name, request_):
    (row,) = rows_of(tmp_path / "in.jsonl", json.dumps(form).encode())
    assert (row.id, row.request, row.problem) == (name, Request(*request_), None)


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in", "in.json", "in.gz"])
def test_other_types_of_file_are_refused(tmp_path, name):
    with pytest.raises(
        InvalidValueError, match=r"request file must be JSON lines \(\.jsonl, .*: got '" + name
    ):
        rows_of(tmp_path / name, b"x")


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b'{"prompt": "a"}\n' * 50)[:-12]], ids=["none", "cut"]
)
def test_damaged_zip_is_refused(tmp_path, content):
    with pytest.raises(
        InvalidValueError, match="request file must be whole: got 'in.jsonl.gz'. It is damaged"
    ):
        rows_of(tmp_path / "in.jsonl.gz", content)


def test_missing_file_is_not_found(tmp_path):
    with pytest.raises(TrafficNotFoundError, match="no request file at"):
        list(read_requests(tmp_path / "none.jsonl"))
    with pytest.raises(FileNotFoundError):
        list(read_requests(tmp_path))


def test_empty_file_holds_no_requests(tmp_path):
    assert rows_of(tmp_path / "in.jsonl", b"") == []


def test_row_in_the_form_of_another_api_is_read_as_training_reads_it():
    """What tools returned, and the instructions beside, are part of the request."""
    result = {"type": "tool_result", "tool_use_id": "a", "content": "4 degrees"}
    asked = {"type": "text", "text": "Do I need a coat?"}
    tool = {"toolSpec": {"name": "weather", "inputSchema": {"json": {}}}}
    form = {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [result, asked]}],
        "toolConfig": {"tools": [tool]},
    }
    request = request_row(form, 1).request
    assert TextView(1)(request.messages).text == "Be brief.\n4 degrees\nDo I need a coat?"
    assert [message["role"] for message in request.messages] == ["system", "tool", "user"]
    assert [each["name"] for each in request.tools] == ["weather"]
    plain = [{"role": "user", "content": "Hi"}]
    assert request_row({"messages": plain}, 1).request.messages is plain


@pytest.mark.parametrize(
    ("form", "modality"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "file"),
        (
            {"input": [{"type": "item_reference", "id": "x"}, {"role": "user", "content": "Hi"}]},
            "unknown",
        ),
    ],
)
def test_needs_of_a_row_are_the_same_whatever_else_it_says(form, modality):
    """A room for the answer makes no document and no unknown item come or go."""
    for more in ({}, {"max_tokens": 9}):
        needs = request_row({**form, **more}, 1).request.needs
        assert needs.modalities == (modality,)


def test_null_is_no_misspelt_key():
    assert request_row({"messages": None}, 1).problem == (
        "line 1 must have messages or prompt: got neither"
    )
