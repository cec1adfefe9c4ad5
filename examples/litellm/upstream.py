"""Two small models behind an OpenAI-compatible interface: python -m examples.litellm.upstream PORT.

Neither thinks. They know the requests of data/sample.jsonl.gz and what each model's answer was
worth, and answer so: of the cheap model's poor answers three in five are plain to see (empty, a
refusal, cut off), the others look fine and are wrong: such answers of the cheap model are the
sample's own, where it has them. Token counts are the sample's. A request that is not in the sample
gets a good answer from both.

For tests a request may ask for a fault of the cheap model: its text begins with [fault:NAME]; for
what that model says: [say:TEXT], or calls, the first tool that is offered: [call:ARGUMENTS]; or for
a prompt that came from a cache in part: [cached:TOKENS].
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["SAMPLE", "Known", "app", "key_of", "known_requests", "plainly_bad"]

SAMPLE = Path(__file__).parents[2] / "data" / "sample.jsonl.gz"
_BAD = ("", "I'm sorry, but I can't help with that.", "The answer to your question is")
_FAULT = re.compile(r"\[fault:(\w+)\]")
_SAYS = re.compile(r"\[(say|call):(.*?)\](?:$| )", re.DOTALL)
_CACHED = re.compile(r"\[cached:(\d+)\]")
_HANG_S = 30.0


class Known(NamedTuple):
    """What an answer of each model is worth, and how long it is."""

    cheap_quality: float
    frontier_quality: float
    prompt_tokens: int
    cheap_tokens: int
    frontier_tokens: int


def known_requests() -> dict[str, tuple[dict[str, Any], Known]]:
    """Return the requests of the sample whose outcomes are all known, by the key of their
    messages.
    """
    with gzip.open(SAMPLE, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    complete = [row for row in rows if all(row.get(name) is not None for name in Known._fields)]
    return {
        key_of(row["messages"]): (row, Known(*(row[name] for name in Known._fields)))
        for row in complete
    }


def key_of(messages: Any) -> str:
    """Return a name for a conversation: a hash of its texts."""
    return sha256(
        json.dumps([message.get("content") for message in messages or []]).encode()
    ).hexdigest()


def plainly_bad(key: str, known: Known) -> bool:
    """Return whether a validator can see that the cheap answer is poor."""
    return known.cheap_quality < 0.5 and int(key[:8], 16) % 5 < 3


def app(known: dict[str, tuple[dict[str, Any], Known]]) -> Starlette:
    """Return the application that serves both models, /cheap/v1 and /frontier/v1."""

    async def complete(request: Request) -> Response:
        side, body = request.path_params["side"], await request.json()
        fault = _FAULT.match(_last_text(body)) if side == "cheap" else None
        if fault and (response := await _faulty(fault.group(1), body)):
            return response
        text, finish, usage = _answer(side, body, known)
        if body.get("stream"):
            return StreamingResponse(
                _stream(body, text, finish, usage), media_type="text/event-stream"
            )
        message = {"role": "assistant", "content": text} | _calls(side, body)
        choices = [
            {"index": number, "message": message, "finish_reason": finish}
            for number in range(body.get("n") or 1)
        ]
        return JSONResponse(_completion(body, choices, usage))

    routes = {"/{side}/v1/chat/completions": complete, "/{side}/v1/responses": _respond}
    return Starlette(
        routes=[Route(path, endpoint, methods=["POST"]) for path, endpoint in routes.items()]
    )


async def _respond(request: Request) -> Response:
    """Answer in the form of the Responses API, which LiteLLM may call for other forms too; well,
    unless the cheap model is told to refuse.
    """
    side, body = request.path_params["side"], await request.json()
    is_refused = side == "cheap" and "Please refuse." in json.dumps(body.get("input"))
    said = {
        "type": "output_text",
        "text": "I cannot help with that." if is_refused else f"An answer of the {side} model.",
        "annotations": [],
    }
    message = {
        "type": "message",
        "id": "msg-1",
        "role": "assistant",
        "status": "completed",
        "content": [said],
    }
    form = {
        "id": "resp-1",
        "object": "response",
        "created_at": int(time.time()),
        "model": body.get("model"),
    }
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    whole = form | {"status": "completed", "output": [message], "usage": usage}
    if body.get("stream"):
        return StreamingResponse(_events(whole), media_type="text/event-stream")
    return JSONResponse(whole)


async def _events(whole: dict[str, Any]) -> AsyncIterator[str]:
    """Yield the events of a response with one text."""
    (message,) = whole["output"]
    (said,) = message["content"]
    place = {"output_index": 0, "item_id": message["id"]}
    part = place | {"content_index": 0}
    begun = message | {"status": "in_progress", "content": []}
    events = [
        {"type": "response.created", "response": whole | {"status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", **part, "part": said | {"text": ""}},
        {"type": "response.output_text.delta", **part, "delta": said["text"]},
        {"type": "response.output_text.done", **part, "text": said["text"]},
        {"type": "response.content_part.done", **part, "part": said},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        yield f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n"


def _answer(
    side: str, body: dict[str, Any], known: dict[str, tuple[dict[str, Any], Known]]
) -> tuple[str, str, dict[str, Any]]:
    key = key_of(body.get("messages"))
    worth = known[key][1] if key in known else Known(1.0, 1.0, 10, 5, 5)
    completion = worth.cheap_tokens if side == "cheap" else worth.frontier_tokens
    usage: dict[str, Any] = {
        "prompt_tokens": worth.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": worth.prompt_tokens + completion,
    }
    if cached := _CACHED.match(_last_text(body)):
        usage["prompt_tokens_details"] = {"cached_tokens": int(cached.group(1))}
    if side == "cheap" and plainly_bad(key, worth):
        kind = int(key[8:16], 16) % 3
        return _BAD[kind], "length" if kind == 2 else "stop", usage
    if side == "cheap" and (asked := _SAYS.match(_last_text(body))):
        return asked.group(2) if asked.group(1) == "say" else "", "stop", usage
    said = f"An answer of the {side} model."
    if side == "cheap" and key in known:
        said = known[key][0].get("cheap_answer") or said
    # As JSON, where that was asked for: a text.
    return json.dumps(said) if "response_format" in body else said, "stop", usage


def _calls(side: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the tool call that the cheap model was asked for."""
    said = _SAYS.match(_last_text(body)) if side == "cheap" else None
    if said is None or said.group(1) != "call":
        return {}
    name = body["tools"][0]["function"]["name"]
    function = {"name": name, "arguments": said.group(2)}
    return {"tool_calls": [{"id": "call-1", "type": "function", "function": function}]}


async def _faulty(name: str, body: dict[str, Any]) -> Response | None:
    """Return what a model in trouble answers; ``None`` where it only streams badly and was not
    asked to stream.
    """
    if name == "hang":
        await asyncio.sleep(_HANG_S)
    if name == "malformed":
        return Response('{"choices": [', media_type="application/json")
    if name == "choices":
        return JSONResponse(
            _completion(body, [], {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10})
        )
    if name in ("429", "500"):
        return JSONResponse(
            {"error": {"message": "in trouble", "type": "error", "code": name}},
            status_code=int(name),
        )
    if name in ("cut", "early"):
        return StreamingResponse(
            _cut(body, name),
            media_type="text/event-stream" if body.get("stream") else "application/json",
        )
    return None


def _completion(
    body: dict[str, Any],
    choices: list[dict[str, Any]],
    usage: dict[str, Any] | None,
    kind: str = "chat.completion",
) -> dict[str, Any]:
    form = {
        "id": "chatcmpl-1",
        "object": kind,
        "created": int(time.time()),
        "model": body.get("model"),
        "choices": choices,
    }
    return form | ({"usage": usage} if usage else {})


async def _stream(
    body: dict[str, Any], text: str, finish: str, usage: dict[str, Any]
) -> AsyncIterator[str]:
    words = re.findall(r"\S+\s*", text)
    for number, word in enumerate(words):
        delta = {"content": word} | ({"role": "assistant"} if number == 0 else {})
        yield _event(
            _completion(
                body,
                [{"index": 0, "delta": delta, "finish_reason": None}],
                None,
                "chat.completion.chunk",
            )
        )
    yield _event(
        _completion(
            body,
            [{"index": 0, "delta": {}, "finish_reason": finish}],
            None,
            "chat.completion.chunk",
        )
    )
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event(_completion(body, [], usage, "chat.completion.chunk"))
    yield "data: [DONE]\n\n"


async def _cut(body: dict[str, Any], name: str) -> AsyncIterator[str]:
    said = "" if name == "early" else "Half "  # early: before the first word
    half = [{"index": 0, "delta": {"role": "assistant", "content": said}, "finish_reason": None}]
    yield (
        _event(_completion(body, half, None, "chat.completion.chunk"))
        if body.get("stream")
        else '{"choices": ['
    )
    raise ConnectionResetError("the model is gone")


def _event(form: dict[str, Any]) -> str:
    return f"data: {json.dumps(form)}\n\n"


def _last_text(body: dict[str, Any]) -> str:
    messages = body.get("messages") or [{}]
    content = messages[-1].get("content")
    return content if isinstance(content, str) else ""


if __name__ == "__main__":
    uvicorn.run(
        app(known_requests()),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        timeout_keep_alive=600,
    )
