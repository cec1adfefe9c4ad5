"""Answers by Anthropic's messages and OpenAI's Responses, read as chat completions."""

import json

import pytest

from difficulty.answers.answer import Answer, ToolCall
from difficulty.integrations.litellm_forms import as_completion, read_events
from difficulty.integrations.litellm_reply import Reply

ANTHROPIC = {
    "type": "message",
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t", "name": "rain", "input": {"city": "Oslo"}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90},
}
RESPONSES = {
    "object": "response",
    "status": "completed",
    "output": [
        {"type": "reasoning", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look."}],
        },
        {"type": "function_call", "call_id": "t", "name": "rain", "arguments": '{"city":"Oslo"}'},
    ],
    "usage": {
        "input_tokens": 100,
        "output_tokens": 5,
        "input_tokens_details": {"cached_tokens": 90},
    },
}


def sse(*events):
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


STREAM = sse(
    {"type": "message_start", "message": {**ANTHROPIC, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I l"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ook."}},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "t", "name": "rain", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"city":"Oslo"}'},
    },
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
).encode()


@pytest.mark.parametrize(
    "reply",
    [
        Reply.of(ANTHROPIC),
        Reply.of(RESPONSES),
        Reply.of_stream([STREAM[:300], STREAM[300:]], None, build=None),
        Reply.of_stream(
            [{"type": "response.created"}, {"type": "response.completed", "response": RESPONSES}],
            None,
            build=None,
        ),
    ],
    ids=["Anthropic", "Responses", "Anthropic's stream", "Responses' stream"],
)
def test_answer_and_usage_are_the_same_by_every_api(reply):
    call = ToolCall("rain", '{"city":"Oslo"}')
    assert reply.answer == Answer("I look.", (call,), "tool_calls")
    assert reply.usage == (100, 5, 90, False)


@pytest.mark.parametrize(
    ("change", "finish"),
    [
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stop_reason": "refusal"}, "content_filter"),
        (
            {"content": None, "output": [], "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
        ),
    ],
)
def test_reasons_to_stop_have_the_names_of_a_chat(change, finish):
    body = ANTHROPIC | {"content": [{"type": "text", "text": "a"}], "stop_reason": None} | change
    assert Answer.of(as_completion(body)).finish_reason == finish


@pytest.mark.parametrize("chunks", [[], [b"data: {"], [b"data: 7\n"], ["x"], [{"type": "ping"}]])
def test_what_is_no_stream_of_events_is_none(chunks):
    assert read_events(chunks) is None


def test_a_chat_completion_stays_as_it_is():
    for body in ({"choices": []}, {}, {"content": "text"}):
        assert as_completion(body) is body
