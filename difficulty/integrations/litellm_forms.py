"""What answers look like that come by Anthropic's messages or OpenAI's Responses, in the form of a
chat completion, whole or as the events of a stream. Needs no package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from difficulty.conversation import as_chat
from difficulty.integrations.litellm_request import as_mapping
from difficulty.text import arguments_text, is_list

_FINISHED = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class CallForm(NamedTuple):
    """How LiteLLM handles the requests of one API."""

    method: str
    """Of its router."""
    metadata: str
    """Where it keeps what it knows of a request."""
    is_chat: bool = False


_CHAT = CallForm("acompletion", "metadata", is_chat=True)
CALL_FORMS: Mapping[str, CallForm] = {
    "completion": _CHAT,
    "acompletion": _CHAT,
    "anthropic_messages": CallForm("aanthropic_messages", "litellm_metadata"),
    "aresponses": CallForm("aresponses", "litellm_metadata"),
}
"""What LiteLLM calls an API, to how it handles it; requests of others are left alone."""


def as_completion(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a response as a chat completion; one that is of neither other API as it is."""
    if "choices" in body:
        return body
    blocks, items = body.get("content"), body.get("output")
    if is_list(blocks):
        said = as_chat([{"role": "assistant", "content": blocks}])
    elif is_list(items):
        said = as_chat(items)
    else:
        return body
    message, reason = _joined(said), body.get("stop_reason")
    if reason is None:
        reason = as_mapping(body.get("incomplete_details")).get("reason") or "end_turn"
    finish = "tool_calls" if message.get("tool_calls") else _FINISHED.get(str(reason), str(reason))
    usage = _usage(as_mapping(body.get("usage")), is_apart=is_list(blocks))
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _joined(messages: Any) -> dict[str, Any]:
    """Return one message that says what several do."""
    texts: list[str] = []
    calls: list[Any] = []
    refusal = None
    for message in filter(_is_form, messages):
        content = message.get("content") or ()
        parts = [{"text": content}] if isinstance(content, str) else content
        for part in filter(_is_form, parts):
            texts.append(part["text"] if isinstance(part.get("text"), str) else "")
            refusal = part.get("refusal") or refusal
        calls += map(_written, message.get("tool_calls") or ())
    text = "\n".join(filter(None, texts))
    return {"role": "assistant", "content": text, "tool_calls": calls, "refusal": refusal}


def _is_form(value: object) -> bool:
    return isinstance(value, Mapping)


def _written(call: Mapping[str, Any]) -> dict[str, Any]:
    function = as_mapping(call.get("function"))
    arguments = arguments_text(function.get("arguments"))
    return {**call, "function": {**function, "arguments": arguments}}


def _usage(usage: Mapping[str, Any], *, is_apart: bool) -> dict[str, Any] | None:
    """Return the counts; Anthropic's own leave out of the prompt what a cache read and wrote."""
    prompt = usage.get("input_tokens")
    if not isinstance(prompt, int):
        return None
    cached = usage.get("cache_read_input_tokens") if is_apart else None
    if is_apart:
        prompt += (cached or 0) + (usage.get("cache_creation_input_tokens") or 0)
    else:
        cached = as_mapping(usage.get("input_tokens_details")).get("cached_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def read_events(chunks: list[Any]) -> Mapping[str, Any] | None:
    """Return the response that a stream's events make up; ``None`` where they are no events of
    these two APIs.
    """
    message: dict[str, Any] | None = None
    blocks: dict[int, dict[str, Any]] = {}
    for event in _events(chunks):
        kind = event.get("type")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return as_mapping(event.get("response"))
        if kind == "message_start":
            message = dict(as_mapping(event.get("message")))
        elif kind == "content_block_start":
            blocks[event["index"]] = {**as_mapping(event.get("content_block")), "written": ""}
        elif kind == "content_block_delta":
            _extend(blocks.get(event["index"]), as_mapping(event.get("delta")))
        elif kind == "message_delta" and message is not None:
            message |= as_mapping(event.get("delta"))
            message["usage"] = {
                **as_mapping(message.get("usage")),
                **as_mapping(event.get("usage")),
            }
    if message is None:
        return None
    return {**message, "content": [_closed(blocks[place]) for place in sorted(blocks)]}


def _extend(block: dict[str, Any] | None, delta: Mapping[str, Any]) -> None:
    if block is None:
        return
    if isinstance(delta.get("text"), str):
        block["text"] = (block.get("text") or "") + delta["text"]
    if isinstance(delta.get("partial_json"), str):
        block["written"] += delta["partial_json"]


def _closed(block: dict[str, Any]) -> dict[str, Any]:
    written = block.pop("written")
    return {**block, "input": written} if written else block


def _events(chunks: list[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the events of chunks: objects, or text that may break off anywhere."""
    texts: list[bytes] = []
    for chunk in chunks:
        if isinstance(chunk, bytes | str):
            texts.append(chunk.encode() if isinstance(chunk, str) else chunk)
        elif isinstance(chunk, Mapping):
            yield chunk
        elif hasattr(chunk, "model_dump"):
            yield as_mapping(chunk.model_dump())
    for line in b"".join(texts).split(b"\n"):
        if line.startswith(b"data:"):
            with suppress(ValueError, RecursionError):
                yield as_mapping(json.loads(line.removeprefix(b"data:")))
