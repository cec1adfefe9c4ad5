"""One event with a value that no log holds: it is null, with a note, and nothing else is lost."""

import json
from datetime import UTC, datetime

import duckdb
import pytest

from difficulty.events import Check
from difficulty.gateway.cleaning import clean
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, read_log
from tests.events import answer, event_of

LONE = "caf\ud83d"


def test_event_that_any_log_holds_is_returned_as_it_is():
    event = event_of(task="classify", tokens=2**63 - 1)
    assert clean(event) is event


@pytest.mark.parametrize(
    ("change", "cleaned", "note"),
    [
        ({"tokens": 2**63}, None, "tokens: beyond 64 bits"),
        ({"tokens": -(10**5_000)}, None, "tokens: beyond 64 bits"),
        ({"task": LONE}, None, "task: not valid text"),
        ({"task": "x" * 201}, None, "task: longer than 200 characters"),
        ({"difficulty_score": float("nan")}, None, "difficulty_score: not finite"),
        ({"latency_ms": float("inf")}, None, "latency_ms: not finite"),
        ({"id": LONE}, "caf\ufffd", "id: not valid text"),
        ({"id": "x" * 10_000}, "x" * 200, "id: longer than 200 characters"),
    ],
    ids=range(8),
)
def test_bad_value_becomes_null_with_a_note(change, cleaned, note):
    """An id is mended instead: without one there is no event."""
    ((name, _),) = change.items()
    event = clean(event_of(**change))
    assert (getattr(event, name), event.notes) == (cleaned, (note,))


def test_bad_values_of_calls_and_checks_become_null():
    bad = answer(prompt_tokens=2**70, checks=(Check(name="x", passed=True, detail=LONE),))
    event = clean(event_of(calls=(answer(), bad)))
    assert event.calls[0] == answer()
    assert event.calls[1].prompt_tokens is None
    assert event.calls[1].checks[0].detail == "caf\ufffd"
    assert event.notes == ("prompt_tokens: beyond 64 bits", "detail: not valid text")


class Odd:
    """An object of a caller's own."""

    def __str__(self):
        raise LookupError("SECRETPATIENT")


@pytest.mark.parametrize(
    ("content", "cleaned", "note"),
    [
        (LONE, "caf\ufffd", None),
        ({LONE: [1, True, None, 2.5]}, {"caf\ufffd": [1, True, None, 2.5]}, None),
        (10**5_000, None, "messages: a number beyond 64 bits"),
        (float("nan"), None, "messages: a number not finite"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00", None),
        (Odd(), None, "messages: an object that cannot be read (LookupError)"),
    ],
    ids=range(6),
)
def test_messages_become_plain(content, cleaned, note):
    event = clean(event_of(messages=({"role": "user", "content": content},)))
    assert event.messages == ({"role": "user", "content": cleaned},)
    assert event.notes == (() if note is None else (note,))
    assert "SECRET" not in json.dumps(event.as_dict())


def shared(levels):
    value = "x"
    for _ in range(levels):
        value = [value, value]
    return value


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (shared(60), "messages: more than 100,000 parts"),
        (["x"] * 100_001, "messages: more than 100,000 parts"),
        (deep(5_000), "messages: nested more than 100 levels deep"),
    ],
    ids=["shared", "many", "deep"],
)
def test_messages_beyond_all_measure_are_left_out_whole(content, note):
    event = clean(event_of(messages=({"role": "user", "content": content},)))
    assert (event.messages, event.notes) == (None, (note,))


def test_one_bad_event_costs_no_other_and_databases_read_the_log(tmp_path):
    """Among a thousand ordinary ones, in one batch: all are there, and the lines are what a
    database takes.
    """
    log = DecisionLog([JsonLinesSink(tmp_path)])
    bad = [
        event_of(tokens=2**63),
        event_of(tokens=int("9" * 4_000) ** 2),
        event_of(task=LONE),
        event_of(messages=({"role": "user", "content": LONE + "x" * 100},)),
    ]
    for number in range(250):
        for event in (*bad[number % 50 :][:1], *(event_of(task="classify") for _ in range(4))):
            assert log.write(event)
    assert log.close()
    assert log.report().lost == {sink: 0 for sink in log.report().lost}
    reader = read_log(tmp_path)
    events = list(reader)
    assert len(events) == log.report().accepted
    assert (reader.missing, reader.damaged) == (0, 0)
    assert sum(bool(event.notes) for event in events) == 15
    query = f"SELECT count(*), count(tokens) FROM read_json('{tmp_path}/*.jsonl')"
    assert duckdb.sql(query).fetchall() == [(len(events), 0)]
