"""Training and serving read the same of one body, whichever API it was written for."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difficulty.conversation import messages_of, tools_of
from difficulty.conversation.request_numbers import read_numbers
from difficulty.stages.ingest import ingest
from difficulty.text import TextView
from difficulty.traffic.formats.bodies import asked, offered
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import parse_row
from difficulty.traffic.table import Traffic
from tests.conversation.forms import BODIES, requests, said

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Name of the city"},
        "unit": {"enum": ["c", "f"]},
        "days": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["city"],
}
STEPS = [
    ("system", "Be brief."),
    ("user", "Will it rain in Oslo, and for how many days?"),
    ("call", "weather", {"city": "Oslo"}),
    ("result", "Error: no such city"),
    ("user", "In Bergen then."),
]


def as_chat_tool(name, description, schema):
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def as_anthropic_tool(name, description, schema):
    return {"name": name, "description": description, "input_schema": schema}


def as_responses_tool(name, description, schema):
    return {"type": "function", "name": name, "description": description, "parameters": schema}


FORMS = [*zip(BODIES, (as_chat_tool, as_anthropic_tool, as_responses_tool), strict=True)]
tools = st.lists(st.tuples(st.sampled_from(["weather", "search_rain", "run"]), said), max_size=4)


def bodies_of(steps, offered_tools):
    """One request in the three forms."""
    for form, as_tool in FORMS:
        listed = [as_tool(name, description, SCHEMA) for name, description in offered_tools]
        yield form(steps) | ({"tools": listed} if listed else {})


def as_served(body):
    """What a router reads of a body."""
    return read(messages_of(body), tools_of(body))


def as_trained(body):
    """What training reads of the same body in a log."""
    row = parse_row({"messages": asked(body), "tools": offered(body)}, default_id="1").sample
    messages = [{"role": each.role, "content": each.content} for each in row.messages]
    return read(messages, row.tools)


def read(messages, listed):
    numbers = read_numbers(messages, listed)
    return TextView()(messages).text, None if numbers is None else numbers.tobytes()


@given(requests, tools)
@settings(max_examples=80, deadline=None)
def test_training_and_serving_read_the_same_of_every_form(steps, offered_tools):
    # A call's arguments are text in two of the forms, written as the client likes.
    steps = [*(step for step in steps if step[0] != "call"), ("user", "Hello")]
    seen = [
        reading(body)
        for body in bodies_of(steps, offered_tools)
        for reading in (as_served, as_trained)
    ]
    assert seen == [seen[0]] * 6
    assert (seen[0][1] is None) == (not offered_tools)


def test_a_log_of_bodies_trains_on_what_the_router_reads(tmp_path):
    bodies = [*bodies_of(STEPS, [("weather", "Tells whether it will rain")])]
    rows = [
        {
            "id": str(number),
            "request": {"model": "small", **body},
            "response": {"object": "chat.completion", "choices": [{"message": {"content": "No"}}]},
        }
        for number, body in enumerate(bodies)
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pair = ModelPair(cheap=("small",), frontier=("large",))
    ingest([log], tmp_path / "traffic.parquet", options=ReadOptions(pair=pair))
    traffic = Traffic.read(tmp_path / "traffic.parquet")
    columns = zip(traffic.ids, traffic.each_messages(), traffic.column("tools"), strict=True)
    found = {name: read(messages, listed) for name, messages, listed in columns}
    assert found == {str(number): as_served(body) for number, body in enumerate(bodies)}
    assert found["0"] == found["1"] == found["2"]
    assert found["0"][0].split("\n")[2:] == [
        'weather({"city":"Oslo"})',
        "Error: no such city",
        "In Bergen then.",
    ]
    assert np.frombuffer(found["0"][1], dtype=np.float32)[:3].tolist() == [1, 3, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"functions": [{"name": "f", "parameters": SCHEMA}]},
        {"tools": [{"type": "custom", "custom": {"name": "f", "parameters": SCHEMA}}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": SCHEMA}]}]},
        {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}}]}},
        {"tools": [{"type": "web_search"}, 7, None, {"name": "f", "input_schema": SCHEMA}]},
    ],
    ids=["functions", "custom", "Google", "Bedrock", "others beside it"],
)
def test_tools_of_further_forms_are_read(body):
    usual = [as_chat_tool("f", None, SCHEMA)]
    assert read("Hi", tools_of(body)) == read("Hi", usual)


def test_hostile_tools_are_read_in_time_and_nothing_is_raised():
    """Ten thousand tools, a schema of 10 MB, and one that holds itself."""
    itself = {}
    itself["properties"] = {"a": itself}
    large = {"properties": {"a": {"description": "x" * 10_000_000}}}
    for listed in (
        [as_anthropic_tool(f"f{n}", "d", SCHEMA) for n in range(10_000)],
        [as_chat_tool("f", "d", large)],
        [as_responses_tool("f", "d", itself)],
        {"name": "f"},
        "no list",
        b"\x00",
        7,
        [[[]]],
        [{"functionDeclarations": 7}, {"toolSpec": {"inputSchema": 7}}],
    ):
        read("Hi", tools_of({"tools": listed}))
