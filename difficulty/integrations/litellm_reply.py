"""What comes back from a call, as LiteLLM hands it on. Needs no package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

from difficulty.answers.answer import Answer
from difficulty.gateway.visits import Usage
from difficulty.integrations.litellm_forms import as_completion, read_events
from difficulty.integrations.litellm_request import as_mapping
from difficulty.request import read_count
from difficulty.text import is_list

_SAID = ("audio", "function_call", "images")
"""Where a message says something, beside its text, its calls and its refusal."""
_STREAMED = ("content", "tool_calls", "refusal", "reasoning_content", *_SAID)


class Reply(NamedTuple):
    """What came back from a call."""

    body: Mapping[str, Any]
    """As of an OpenAI chat completion."""
    hit: bool
    """Whether LiteLLM answered from its own cache."""
    is_chat: bool = False
    """Whether it came as a chat completion, of which it is known where it says something."""

    @classmethod
    def of(cls, response: Any) -> Reply:
        """Read a whole response."""
        body = _dump(response)
        if is_chat := "choices" in body:
            restore_refusals(body)
        return cls(as_completion(body), _is_hit(response), is_chat)

    @classmethod
    def of_stream(
        cls, chunks: list[Any], stream: Any, *, build: Callable[[list[Any]], Any]
    ) -> Reply:
        """Put together what a stream's chunks make up; ``build`` makes a response of them."""
        try:
            if (events := read_events(chunks)) is not None:
                return cls(as_completion(events), _is_hit(stream))
            body = dict(_dump(build(chunks) if chunks else None))
        except Exception:  # of chunks that make no answer
            body = {}
        if not any(getattr(chunk, "usage", None) for chunk in chunks):
            body["usage"] = None  # LiteLLM estimates it, and a log holds what was counted
        return cls(body, _is_hit(stream), "choices" in body)

    @property
    def has_choices(self) -> bool:
        """Whether there is an answer at all, be it an empty one."""
        return not self.is_chat or bool(self.body.get("choices"))

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: no text but blanks, no call, no refusal, no sound, no picture.
        What a model thought is no answer.
        """
        choices = self.body.get("choices")
        if not self.is_chat or not is_list(choices):
            return self.is_chat
        answer = self.answer
        texts = (answer.text, answer.refusal or "", *answer.others)
        if answer.tool_calls or any(text.strip() for text in texts):
            return False
        messages = (as_mapping(as_mapping(choice).get("message")) for choice in choices)
        return not any(message.get(name) for message in messages for name in _SAID)

    @property
    def answer(self) -> Answer:
        """What the model said; nothing, where that cannot be read."""
        try:
            return Answer.of(self.body)
        except Exception:
            return Answer()

    @property
    def usage(self) -> Usage:
        """What the call took."""
        usage = as_mapping(self.body.get("usage"))
        cached = read_count(as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
        if cached is None:  # as Anthropic calls it; LiteLLM counts it into the prompt
            cached = read_count(usage.get("cache_read_input_tokens"))
        return Usage(
            read_count(usage.get("prompt_tokens")),
            read_count(usage.get("completion_tokens")),
            cached,
            hit=self.hit,
        )


def _dump(response: Any) -> Mapping[str, Any]:
    if response is None or isinstance(response, dict):
        return response or {}
    try:
        return cast(Mapping[str, Any], response.model_dump())
    except Exception:  # of what is no answer of LiteLLM's
        return {}


def _is_hit(response: Any) -> bool:
    return as_mapping(getattr(response, "_hidden_params", None)).get("cache_hit") is True


def restore_refusals(body: Mapping[str, Any]) -> None:
    """Put what a model said in place of an answer where OpenAI has it: LiteLLM keeps it among a
    message's ``provider_specific_fields``.
    """
    choices = body.get("choices")
    for choice in choices if is_list(choices) else ():
        message = as_mapping(choice).get("message")
        refusal = as_mapping(as_mapping(message).get("provider_specific_fields")).get("refusal")
        if refusal and isinstance(message, dict):
            message["refusal"] = message.get("refusal") or refusal


def says_something(chunk: Any) -> bool:
    """Return whether a chunk of a stream adds to the answer, or to what the model thinks; one that
    is no chunk of a chat does.
    """
    try:
        said = (getattr(choice.delta, name, None) for choice in chunk.choices for name in _STREAMED)
        return any(part.strip() if isinstance(part, str) else part for part in said)
    except Exception:  # of another API, or of what is no chunk of LiteLLM's
        return True


def find_finish(stream: Any) -> str | None:
    """Return why the model ended its stream, an empty text where that cannot be known; ``None``: it
    did not say, so that the stream broke off, or was none.
    """
    finish = getattr(stream, "received_finish_reason", "")
    return finish if isinstance(finish, str | None) else ""


def count_chars(chunk: Any) -> int:
    """Return the characters that a chunk of a stream adds."""
    written = 0
    with suppress(Exception):  # of what is no chunk of LiteLLM's
        for choice in chunk.choices:
            written += len(choice.delta.content or "")
            for call in choice.delta.tool_calls or ():
                written += len(call.function.arguments or "")
    return written
