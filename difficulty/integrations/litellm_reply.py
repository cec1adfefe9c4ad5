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


class Reply(NamedTuple):
    """What came back from a call."""

    body: Mapping[str, Any]
    """As of an OpenAI chat completion."""
    hit: bool
    """Whether LiteLLM answered from its own cache."""

    @classmethod
    def of(cls, response: Any) -> Reply:
        """Read a whole response."""
        return cls(as_completion(_dump(response)), _is_hit(response))

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
        return cls(body, _is_hit(stream))

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


def count_chars(chunk: Any) -> int:
    """Return the characters that a chunk of a stream adds."""
    written = 0
    with suppress(Exception):  # of what is no chunk of LiteLLM's
        for choice in chunk.choices:
            written += len(choice.delta.content or "")
            for call in choice.delta.tool_calls or ():
                written += len(call.function.arguments or "")
    return written
