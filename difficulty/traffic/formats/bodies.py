"""The bodies of requests and responses as they go over the wire, whichever API they are of:
OpenAI's chat, text completions and Responses, Anthropic's Messages, Google's generateContent.

A body is known by its form, not by the name under which a log keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from difficulty.conversation import messages_of, tools_of
from difficulty.errors import TrafficError
from difficulty.traffic.formats.json_records import parsed
from difficulty.traffic.formats.logged_call import answer_of

OBJECTS = ("chat.completion", "text_completion", "response")
"""What a response of OpenAI's may call itself."""
_ASKED = ("messages", "input", "prompt", "contents")
_TOOLS = ("tools", "functions", "toolConfig")
_PARAMETERS = frozenset(
    {"model", "temperature", "max_tokens", "stream", "tools", "instructions", "system", "top_p"}
    | {"generationConfig", "max_completion_tokens", "max_output_tokens", "tool_choice", "n"}
)


def is_request(value: Mapping[str, Any]) -> bool:
    """Return whether an object is the body of a request."""
    if is_response(value):
        return False
    if isinstance(value.get("messages"), list) or isinstance(value.get("contents"), list):
        return True
    # A column of these names alone is anybody's.
    return any(value.get(name) for name in _ASKED) and bool(_PARAMETERS & value.keys())


def is_response(value: Mapping[str, Any]) -> bool:
    """Return whether an object is the body of a response."""
    if isinstance(value.get("choices"), list) or isinstance(value.get("candidates"), list):
        return True
    if value.get("object") in OBJECTS and "messages" not in value:
        return True
    return value.get("role") == "assistant" and value.get("type") == "message"


def refuse_unknown(response: Mapping[str, Any]) -> None:
    """Refuse a response that says it is of another kind."""
    kind = response.get("object")
    if kind is not None and kind not in OBJECTS:
        raise TrafficError(
            f"a response must be one of {', '.join(OBJECTS)}: got object {str(kind)[:80]!r}."
        )


def asked(request: Mapping[str, Any]) -> Any:
    """Return the messages of a body, also those of the Responses API and of plain prompts."""
    turns = parsed(request.get("messages")) or _contents(request.get("contents"))
    turns = turns or parsed(request.get("input") or request.get("prompt"))
    first = request.get("instructions") or parsed(request.get("system"))
    first = first or _parts_text(request.get("systemInstruction"))
    return messages_of({"messages": turns, "system": first})


def offered(request: Mapping[str, Any]) -> Any:
    """Return the tools of a body, whichever API it is of, also where they are JSON text."""
    return tools_of({name: parsed(request.get(name)) for name in _TOOLS})


def answered(response: Mapping[str, Any]) -> Any:
    """Return what a response says; ``None`` where it has no answer."""
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, Sequence) and choices else None
    if isinstance(first, Mapping):
        return answer_of(first.get("message")) if "message" in first else first.get("text")
    candidates = _contents([c.get("content") for c in response.get("candidates") or ()])
    if candidates:
        return candidates[0]["content"]
    if isinstance(response.get("content"), list):
        return _of_blocks(response["content"])
    return _of_items(response.get("output"))


def _of_items(output: Any) -> Any:
    """Return the answer of the Responses API."""
    if not isinstance(output, list):
        return None
    texts = [
        str(part["text"])
        for item in output
        if isinstance(item, Mapping) and item.get("type") == "message"
        for part in item.get("content") or ()
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    calls = [
        _called(item.get("name"), item.get("arguments"))
        for item in output
        if isinstance(item, Mapping) and item.get("type") == "function_call"
    ]
    return answer_of({"content": "\n".join(texts), "tool_calls": calls})


def _of_blocks(blocks: Sequence[Any]) -> Any:
    """Return the answer of Anthropic's Messages."""
    known = [block for block in blocks if isinstance(block, Mapping)]
    texts = [str(block["text"]) for block in known if isinstance(block.get("text"), str)]
    calls = [
        _called(block.get("name"), json.dumps(block.get("input"), ensure_ascii=False))
        for block in known
        if block.get("type") == "tool_use"
    ]
    return answer_of({"content": "\n".join(texts), "tool_calls": calls})


def _called(name: Any, arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _contents(contents: Any) -> list[dict[str, Any]]:
    """Return Google's contents as messages."""
    if not isinstance(contents, list):
        return []
    return [
        {"role": "assistant" if turn.get("role") == "model" else "user", "content": text}
        for turn in contents
        if isinstance(turn, Mapping) and (text := _parts_text(turn))
    ]


def _parts_text(content: Any) -> str:
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if not isinstance(parts, list):
        return ""
    return "\n".join(
        part["text"]
        for part in parts
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    )
