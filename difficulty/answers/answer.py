"""What was asked and what a model answered, read from requests, responses and traffic columns.

Everything here comes from outside, so what is malformed counts as not given: reading an answer may
never fail the request that it answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from difficulty.text import TextView, arguments_text, is_list, message_text

_VIEW = TextView()
_ROLES = {"user": "user", "system": "system", "developer": "system"}


class ToolCall(NamedTuple):
    """A call that the model asks for."""

    name: str
    arguments: str
    """JSON text, as the model wrote it."""

    def as_text(self) -> str:
        """Return the call as one text, ``name(arguments)``."""
        return f"{self.name}({self.arguments})"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a model."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    """What the model said in place of an answer, where the API has a field for that."""
    logprobs: tuple[float, ...] | None = None
    """Natural logarithms of the tokens' probabilities; ``None`` where they were not asked for."""
    others: tuple[str, ...] = ()
    """Texts of the choices after the first."""

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Answer:
        """Read an OpenAI chat completion; without a choice, an empty answer."""
        listed = response.get("choices")
        choices = listed if is_list(listed) and listed else ()
        if not choices or not isinstance(choices[0], Mapping):
            return cls()
        others = (cls._of_choice(choice).as_text() for choice in choices[1:])
        return cls._of_choice(choices[0], others=tuple(others))

    @classmethod
    def parse(cls, text: str) -> Answer:
        """Read what a column of traffic holds: plain text, or the JSON text of an assistant message
        (``role`` is ``assistant``), which may bear ``finish_reason``, ``logprobs`` as of a choice,
        and ``others``, a list of texts.
        """
        message = _read_message(text)
        if message is None:
            return cls(text)
        others = message.get("others")
        texts = others if isinstance(others, list) else ()
        return cls._of_choice(
            {**message, "message": message},
            others=tuple(other for other in texts if isinstance(other, str)),
        )

    @classmethod
    def _of_choice(cls, choice: Any, *, others: tuple[str, ...] = ()) -> Answer:
        choice = _mapping(choice)
        message = _mapping(choice.get("message"))
        calls, refusal = message.get("tool_calls"), message.get("refusal")
        return cls(
            _read_text(message.get("content")),
            tuple(map(_read_tool_call, calls)) if is_list(calls) else (),
            _plain(choice.get("finish_reason")),
            _plain(refusal),
            _read_logprobs(choice.get("logprobs")),
            others,
        )

    def as_message(self) -> dict[str, Any]:
        """Return the answer as an assistant message; what is empty or usual is left out."""
        calls = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.tool_calls
        ]
        unusual = None if self.finish_reason in ("stop", "tool_calls") else self.finish_reason
        further = {"tool_calls": calls, "refusal": self.refusal, "finish_reason": unusual}
        message = {"role": "assistant", "content": self.text}
        return message | {name: value for name, value in further.items() if value}

    def as_text(self) -> str:
        """Return all that was answered as one text: the content, the refusal, and each call on a
        line of its own; what is empty is left out.
        """
        calls = (call.as_text() for call in self.tool_calls)
        return "\n".join(filter(None, [self.text, self.refusal, *calls]))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request asked for, as far as checks of its answer need it."""

    task: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    response_format: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    """The user's messages in the text view: joined, and of long ones head and tail."""
    system: str = ""
    """The system and developer messages, joined."""
    context: str = ""
    """All other messages, such as earlier answers and what tools returned, in the text view."""

    @classmethod
    def of(cls, request: Mapping[str, Any], *, task: str | None = None) -> Asked:
        """Read an OpenAI chat completion request; what is malformed counts as not given."""
        return cls(
            task,
            _read_tools(request.get("tools")),
            request.get("tool_choice"),
            _mapping(request.get("response_format")),
            *_read_messages(request.get("messages")),
        )


def _read_tools(tools: Any) -> tuple[Mapping[str, Any], ...]:
    try:
        return tuple(tool for tool in tools if isinstance(tool, Mapping)) if is_list(tools) else ()
    except Exception:  # of a class of the caller's
        return ()


def _read_messages(messages: Any) -> tuple[str, str, str]:
    """Return the user's text, the system's, and that of all others; a string is the user's."""
    texts: dict[str, list[str]] = {"user": [], "system": [], "": []}
    if isinstance(messages, str):
        texts["user"].append(messages)
    elif is_list(messages):
        with suppress(Exception):  # of a class of the caller's
            for message in filter(_is_message, messages):
                texts[_ROLES.get(message["role"], "")].append(_text_of(message))
    user, system, others = ("\n".join(filter(None, parts)) for parts in texts.values())
    return _VIEW(user).text, system, _VIEW(others).text


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and isinstance(message.get("role"), str)


def _text_of(message: Mapping[str, Any]) -> str:
    try:
        return message_text(message)
    except Exception:  # of one that is malformed, or of a class of the caller's
        return ""


def answer_column(message: Mapping[str, Any]) -> str:
    """Return an assistant message as a column of traffic holds it, for :meth:`Answer.parse`: plain
    text where there is nothing else.
    """
    content = message.get("content")
    if isinstance(content, str) and not {*message} - {"role", "content"}:
        if _read_message(content) is None:
            return content
    return json.dumps({**message, "role": "assistant"}, ensure_ascii=False, default=str)


def _plain(value: Any) -> str | None:
    """Return a text without what a class of the caller's makes of it; ``None`` for what is none."""
    return str.__str__(value) if isinstance(value, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _read_message(text: str) -> Mapping[str, Any] | None:
    # Most answers are not JSON at all, and are not looked at further.
    if not (text.startswith("{") and '"role"' in text):
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if message.get("role") == "assistant" else None


def _read_text(content: Any) -> str:
    if not is_list(content):
        return _plain(content) or ""
    return "".join(_plain(_mapping(part).get("text")) or "" for part in content)


def _read_tool_call(call: Any) -> ToolCall:
    function = _mapping(_mapping(call).get("function"))
    try:
        # Some servers send the arguments as an object in place of its JSON text.
        arguments = _plain(arguments_text(function.get("arguments"))) or ""
    except Exception:  # holds itself, JSON has no name for it, or is of a class of the caller's
        arguments = ""
    return ToolCall(_plain(function.get("name")) or "", arguments)


def _read_logprobs(logprobs: Any) -> tuple[float, ...] | None:
    """Return the log probabilities of a chat's tokens, or of a text completion's."""
    form = _mapping(logprobs)
    tokens, listed = form.get("content"), form.get("token_logprobs")
    if is_list(tokens):
        listed = [_mapping(token).get("logprob") for token in tokens]
    if not is_list(listed):
        return None
    known = tuple(float(value) for value in listed if _is_finite(value))
    return known or None


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False
