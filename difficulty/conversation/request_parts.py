"""The parts of a conversation: what was said, called, returned and attached, and by whom.

One reader for the forms that requests come in, so that training and serving, and every later step,
see the same parts whatever API a request was written for:

- OpenAI's chat messages: content as a string or as parts, ``tool_calls``, the older
  ``function_call``, messages of role ``tool`` or ``function``;
- Anthropic's messages: blocks ``text``, ``image``, ``document``, ``tool_use``, ``tool_result``;
- the items of OpenAI's Responses: messages with ``input_text`` and the like, ``function_call``,
  ``function_call_output``.

What a model thought to itself (``thinking``, ``reasoning``) is no part: no other model is sent it.
Takes time linear in the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from difficulty.conversation.part_types import MEDIA, WITH_OUTPUT, type_of
from difficulty.errors import RequestError
from difficulty.text import arguments_text, is_list

PartKind = Literal["text", "call", "result", "image", "audio", "video", "file", "unknown"]
Role = Literal["system", "user", "assistant", "tool"]

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_UNWRITABLE = (RecursionError, TypeError, ValueError)
_FIRST = 256
"""Characters of a result in which a sign of failure is looked for."""
# Where the form has no word for it, an error says so at its beginning.
_FAILED = re.compile(
    r"[\s\[({<*#\"']*"
    r"(?:error|errors|fatal|exception|failed|failure|traceback \(most recent call last\)|"
    r"[a-z0-9_.]*(?:error|exception)\s*:|"
    r"(?:is_?error|success|ok)\"?\s*[:=]\s*(?P<flag>true|false)|"
    r"(?:exit|return) ?code\"?\s*[:=]?\s*[1-9]|"
    r"(?:command )?not found|permission denied|no such file)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_FINE = re.compile(r"[\s\[({<*#\"']*errors?\"?\s*[:=]\s*(?:null|none|false|0|\"\"|\[\]|\{\})", re.I)
_FORMAT = re.compile(r"data:[^,]{0,256};base64,")


class RequestPart(NamedTuple):
    """One thing that a request holds."""

    kind: PartKind
    role: Role
    """Who it is from: what tools return is ``tool``'s, whoever hands it on."""
    turn: int
    """Number of the run of parts of one role, from 0."""
    text: str = ""
    """What it says; of a call ``name(arguments)``, of media nothing."""
    name: str = ""
    """Of a call or a result the function, where it is known."""
    failed: bool | None = None
    """Of a result whether it is an error: the form says so, or its text does where it begins;
    ``None`` where it says nothing.
    """
    size: int = 0
    """Of media the bytes, where they stand in the request."""


def read_parts(messages: str | Sequence[Mapping[str, Any]]) -> tuple[RequestPart, ...]:
    """Return the parts of a request, in order.

    Parameters
    ----------
    messages : str or sequence of mapping
        Messages or items; a string is one user message.

    Raises
    ------
    RequestError
        If messages, a message or its content is none, as the text view says. What is malformed
        further in is a part of kind ``unknown``, or says nothing.
    """
    if isinstance(messages, str):
        return (RequestPart("text", "user", 0, messages),) if messages else ()
    if isinstance(messages, Mapping) or not is_list(messages):
        # Most often the whole body of a request: its messages are meant.
        raise RequestError("messages", messages, rule="be a text or a list of messages")
    parts: list[RequestPart] = []
    names: dict[str, str] = {}  # of calls, by id
    turn, before = -1, ""
    for message in messages:
        if not isinstance(message, Mapping):
            raise RequestError("a message", message, rule="be an object with role and content")
        for part in _parts_of(message, names):
            if part.role != before:
                turn, before = turn + 1, part.role
            parts.append(part._replace(turn=turn))
    return tuple(parts)


def _parts_of(message: Mapping[str, Any], names: dict[str, str]) -> Iterator[RequestPart]:
    kind, said = message.get("type"), message.get("role")
    if said is None and isinstance(kind, str) and kind not in ("", "message"):
        yield from _block(message, "user", names)  # an item of its own
        return
    role: Role = _ROLES.get(said, "user") if isinstance(said, str) else "user"
    content = message.get("content")
    if role == "tool":
        yield from _result(message, content, names)
        return
    yield from _content(content, role, names)
    calls = message.get("tool_calls")
    if calls is not None and not is_list(calls):
        raise RequestError("tool_calls", calls, rule="be a list or null")
    for call in calls or ():
        yield from _call(call, names)
    if isinstance(message.get("function_call"), Mapping):
        yield from _call({"function": message["function_call"]}, names)


def _content(content: object, role: Role, names: dict[str, str]) -> Iterator[RequestPart]:
    if content is None or isinstance(content, str):
        yield from _said(content or "", role)
        return
    if not is_list(content):
        raise RequestError(
            "message content", content, rule="be a string, a list of content parts or null"
        )
    for block in content:
        yield from _block(block, role, names)


def _block(block: object, role: Role, names: dict[str, str]) -> Iterator[RequestPart]:
    if isinstance(block, str):
        yield from _said(block, role)
        return
    form = block if isinstance(block, Mapping) else {"type": "none"}
    kind = type_of(form.get("type"))
    if kind == "thought":
        return
    if kind == "call":
        yield from _call(form, names)
    elif kind == "result":
        outputs = form.get("output" if form["type"] in WITH_OUTPUT else "content")
        yield from _result(form, outputs, names)
    elif kind in MEDIA:
        yield from _media(cast("PartKind", kind), form, role)
    else:
        yield from _text_block(form, role)


def _text_block(form: Mapping[str, Any], role: Role) -> Iterator[RequestPart]:
    kind, text = type_of(form.get("type")), _string(form.get("text"))
    if kind == "refusal":
        yield from _said(_string(form.get("refusal")), role)
    elif kind == "quote":
        inner = form.get("content")
        found = [_string(each.get("text")) for each in _mappings(inner)]
        yield from _said("\n".join(filter(None, found)), role)
    elif kind == "text" or (form.get("type") is None and text):
        yield from _said(text, role)
    else:
        yield RequestPart("unknown", role, 0, text)


def _said(text: str, role: Role) -> Iterator[RequestPart]:
    if text:
        yield RequestPart("text", role, 0, text)


def _mappings(content: object) -> Iterator[Mapping[str, Any]]:
    return (each for each in content if isinstance(each, Mapping)) if is_list(content) else iter(())


def _call(call: object, names: dict[str, str]) -> Iterator[RequestPart]:
    form = call if isinstance(call, Mapping) else {}
    function = form.get("function")
    # The forms of OpenAI's chat, of its Responses, of Anthropic.
    inner = function if isinstance(function, Mapping) else form
    name = _string(inner.get("name"))
    arguments = inner.get("arguments")
    if arguments is None:
        arguments = inner.get("input")
    if not name and arguments is None:
        yield RequestPart("unknown", "assistant", 0)
        return
    identity = form.get("call_id") or form.get("id")
    if name and identity and isinstance(identity, str):
        names[identity] = name
    yield RequestPart("call", "assistant", 0, f"{name}({_written(arguments)})", name)


def _result(
    form: Mapping[str, Any], content: object, names: dict[str, str]
) -> Iterator[RequestPart]:
    attached: list[RequestPart] = []
    if is_list(content):
        # Calls and results inside of a result are none that anybody made.
        inner = [part for block in content for part in _block(_attached(block), "tool", names)]
        text = "\n".join(part.text for part in inner if part.kind == "text")
        attached = [part for part in inner if part.kind != "text"]
    elif content is None or isinstance(content, str):
        text = content or ""
    else:
        text = _written(content)
    identity = next(
        (
            form[key]
            for key in ("tool_call_id", "tool_use_id", "call_id")
            if isinstance(form.get(key), str)
        ),
        "",
    )
    name = _string(form.get("name")) or names.get(identity, "")
    yield RequestPart("result", "tool", 0, text, name, _has_failed(form, text))
    yield from attached


def _written(value: object) -> str:
    try:
        return arguments_text(value)
    except RequestError:
        raise
    except _UNWRITABLE:  # it holds itself, or is nested past what can be written
        return ""


def _attached(block: object) -> object:
    is_none = isinstance(block, Mapping) and type_of(block.get("type")) in ("call", "result")
    return None if is_none else block


def _has_failed(form: Mapping[str, Any], text: str) -> bool | None:
    said = form.get("is_error")
    if isinstance(said, bool):
        return said
    if not text.strip():
        return None
    start = text[:_FIRST]
    found = None if _FINE.match(start) else _FAILED.match(start)
    if found is None:
        return False
    flag = found["flag"]
    if flag is None:
        return True
    is_true = flag.lower() == "true"
    return is_true if "error" in found[0].lower() else not is_true


def _media(kind: PartKind, block: Mapping[str, Any], role: Role) -> Iterator[RequestPart]:
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "text":  # a document that is text
        yield from _said(_string(source.get("data")), role)
        return
    yield RequestPart(kind, role, 0, size=_size(block))


def _size(block: Mapping[str, Any]) -> int:
    """Return the bytes of what is attached, from the length of its base64."""
    for value in block.values():
        inner = value.values() if isinstance(value, Mapping) else (value,)
        for text in inner:
            if not isinstance(text, str):
                continue
            if found := _FORMAT.match(text):
                return (len(text) - found.end()) * 3 // 4
        data = value.get("data") if isinstance(value, Mapping) else None
        if not isinstance(data, str) and isinstance(value, Mapping):
            data = value.get("file_data")
        if isinstance(data, str):
            return len(data) * 3 // 4
    return 0


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
