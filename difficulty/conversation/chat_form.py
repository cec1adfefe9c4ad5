"""Messages of any API as OpenAI's chat has them, so that one text view reads them all.

Calls and results stand in blocks of Anthropic's messages, and as items of their own in OpenAI's
Responses. Here they become ``tool_calls`` and messages of role ``tool``, in the order in which they
came; everything else is handed on as it is. The parts of what comes out are those of what went in
(:func:`~difficulty.conversation.read_parts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difficulty.conversation.part_types import WITH_OUTPUT, PartType, type_of
from difficulty.errors import RequestError
from difficulty.text import arguments_text, is_list

Message = Mapping[str, Any]

_TEXT_BLOCKS = ("document", "search_result")
"""Blocks that hold a text which is no ``text`` of theirs."""
_IDS = ("tool_call_id", "tool_use_id", "call_id")


def as_chat(messages: Sequence[Any]) -> Sequence[Any]:
    """Return messages or items in the form of a chat; a chat as it is.

    Takes time linear in the messages, and raises nothing: what is malformed is handed on.
    """
    if not any(map(_is_other, messages)):
        return messages
    return [
        moved
        for message in messages
        for moved in (_moved(message) if _is_other(message) else (message,))
    ]


def _is_other(message: object) -> bool:
    if not isinstance(message, Mapping):
        return False
    if _is_item(message):
        return True
    content = message.get("content")
    if content is None or isinstance(content, str) or not is_list(content):
        return False
    return any(isinstance(block, Mapping) and _is_moved(_kind(block)) for block in content)


def _is_moved(name: str) -> bool:
    return name in _TEXT_BLOCKS or type_of(name) in ("call", "result")


def _is_item(message: Message) -> bool:
    kind = _kind(message)
    return message.get("role") is None and kind not in ("", "message")


def _kind(form: Message) -> str:
    kind = form.get("type")
    return kind if isinstance(kind, str) else ""


def _moved(message: Message) -> Iterator[Message]:
    if _is_item(message):
        if type_of(_kind(message)) != "thought":
            yield from _of_blocks({"role": "user"}, [message])
    elif message.get("role") in ("tool", "function"):
        yield {**message, "content": [*map(_with_text, message["content"])]}
    else:
        yield from _of_blocks(message, message["content"])


def _of_blocks(message: Message, blocks: Sequence[Any]) -> Iterator[Message]:
    """Yield one message for each run of blocks that a message of a chat can hold."""
    beside = {name: value for name, value in message.items() if name != "tool_calls"}
    content: list[Any] = []
    calls: list[Message] = []
    for block in blocks:
        kind: PartType | None = type_of(_kind(block)) if isinstance(block, Mapping) else None
        if (calls and kind != "call") or (content and kind in ("call", "result")):
            yield from _flushed(beside, content, calls)
            content, calls = [], []
        if kind == "call":
            calls.append(_call(block))
        elif kind == "result":
            yield _result(block)
        else:
            content.append(_with_text(block))
    yield from _flushed(beside, content, calls)
    if message.get("tool_calls") is not None:
        yield {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}


def _flushed(beside: Message, content: list[Any], calls: list[Message]) -> Iterator[Message]:
    if content:
        yield {**beside, "content": content}
    if calls:
        yield {"role": "assistant", "content": None, "tool_calls": calls}


def _call(block: Message) -> Message:
    arguments = block.get("arguments")
    function = {
        "name": block.get("name"),
        "arguments": block.get("input") if arguments is None else arguments,
    }
    named = (block.get(name) for name in ("call_id", "id"))
    identity = next((each for each in named if isinstance(each, str) and each), None)
    return {"id": identity, "type": "function", "function": function}


def _result(block: Message) -> Message:
    said = block.get("output" if _kind(block) in WITH_OUTPUT else "content")
    content: Any = said
    if is_list(said):
        content = [*map(_with_text, said)]
    elif said is not None and not isinstance(said, str):
        content = _written(said)
    identity = next((block[name] for name in _IDS if isinstance(block.get(name), str)), None)
    message = {"role": "tool", "tool_call_id": identity, "content": content}
    return message | {name: block[name] for name in ("name", "is_error") if name in block}


def _written(value: object) -> str:
    """Return what no chat can hold as a result as JSON text; nothing where that cannot be."""
    try:
        return arguments_text(value)
    except (RequestError, RecursionError, TypeError, ValueError):
        return ""


def _with_text(block: Any) -> Any:
    """Return a block whose text stands somewhere else as a block of text; others as they are."""
    kind = _kind(block) if isinstance(block, Mapping) else ""
    if kind == "document":
        source = block.get("source")
        if isinstance(source, Mapping) and source.get("type") == "text":
            return {"type": "text", "text": source.get("data")}
    elif kind == "search_result" and is_list(block.get("content")):
        inner = (each.get("text") for each in block["content"] if isinstance(each, Mapping))
        texts = [text for text in inner if isinstance(text, str) and text]
        return {"type": "text", "text": "\n".join(texts)}
    return block
