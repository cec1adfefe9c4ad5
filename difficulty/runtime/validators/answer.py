"""What validators read, an answer and what was asked, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class ToolCall(NamedTuple):
    """A call that the model asks for."""

    name: str
    arguments: str
    """JSON text, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a model."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Answer:
        """Read the first choice of an OpenAI chat completion; one without choices, or without
        content, is an empty answer.
        """
        choices = response.get("choices")
        first = choices[0] if isinstance(choices, Sequence) and choices else None
        if not isinstance(first, Mapping):
            return cls()
        message = first.get("message")
        message = message if isinstance(message, Mapping) else {}
        calls = message.get("tool_calls")
        return cls(
            _text(message.get("content")),
            tuple(map(_tool_call, calls)) if isinstance(calls, Sequence) else (),
            first.get("finish_reason"),
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request asked for, as far as validators need it."""

    task: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    response_format: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Mapping[str, Any], *, task: str | None = None) -> Asked:
        """Read an OpenAI chat completion request; what has not the expected form counts as not
        given.
        """
        tools, form = request.get("tools"), request.get("response_format")
        return cls(
            task,
            tuple(tool for tool in tools if isinstance(tool, Mapping))
            if isinstance(tools, Sequence)
            else (),
            request.get("tool_choice"),
            form if isinstance(form, Mapping) else {},
        )


class Verdict(NamedTuple):
    """What a validator says."""

    passed: bool
    detail: str = ""
    """Why not, without the user's text."""


class Validator(Protocol):
    """A check of answers."""

    def __call__(self, answer: Answer, asked: Asked) -> Verdict | None:
        """Return the verdict; ``None`` where this check has nothing to say of such an answer."""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    return ""


def _tool_call(call: Any) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    function = function if isinstance(function, Mapping) else {}
    return ToolCall(str(function.get("name") or ""), str(function.get("arguments") or ""))
