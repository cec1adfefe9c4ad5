"""The two models, called by LiteLLM's SDK in this process: for ``difficulty serve``."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.integrations.litellm_config import Upstream
from difficulty.integrations.litellm_flow import NoAnswerError
from difficulty.integrations.litellm_reply import restore_refusals
from difficulty.routes import Route

try:
    import litellm
    from litellm.types.llms.openai import ValidUserMessageContentTypes
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("calling models", package="litellm", extra="serve") from error

PASSED_ON = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""Fields of a chat request that go to the models. A list of what may, not of what may not: the SDK
takes addresses, keys and prices from the same arguments.
"""
TIMEOUT_S = 600.0
"""Of a call for which no other time is stated."""
_RETRIES: Mapping[Route, int] = {"cheap": 0, "frontier": 1}
"""An error of the cheap model goes to the frontier model without a retry (docs/gateway.md)."""
_WAIT_S: Mapping[Route, float] = {"cheap": 0.1, "frontier": 61.0}
"""Beside the time of the calls: until LiteLLM says itself that one was too slow, and what a
provider may have us wait before a second one.
"""


class SdkModels:
    """Call the cheap and the frontier model.

    Parameters
    ----------
    upstreams : mapping of str to Upstream
        By route.
    passed_on : collection of str
        Fields of a request that go to the models beside :data:`PASSED_ON`.

    Raises
    ------
    InvalidValueError
        If the variable of a key is not set: before the first request.
    """

    def __init__(
        self, upstreams: Mapping[Route, Upstream], *, passed_on: Collection[str] = ()
    ) -> None:
        litellm.suppress_debug_info = True  # it would print where our answers go
        self.passed_on = PASSED_ON | {*passed_on}
        self.parts = frozenset(ValidUserMessageContentTypes)
        """Types of the parts of a user's message; others the SDK refuses."""
        self._fixed = {side: _read_fixed(side, upstream) for side, upstream in upstreams.items()}
        self._longest_s = {
            side: fixed["timeout"] * (1 + fixed["max_retries"]) + _WAIT_S[side]
            for side, fixed in self._fixed.items()
        }

    async def call(self, side: Route, body: Mapping[str, Any], stream: bool) -> Any:
        """Return a model's response, or its stream of chunks, begun; raises what LiteLLM raises,
        and ``TimeoutError`` for a model that goes on sending and comes to no end.
        """
        options = {name: value for name, value in body.items() if name in self.passed_on}
        if stream:
            # Asked for always: the log holds what was counted.
            options["stream_options"] = {"include_usage": True}
        longest_s = self._longest_s[side]
        # LiteLLM's time is of each piece that comes in: a byte now and then would do.
        async with asyncio.timeout(longest_s):
            response = await litellm.acompletion(
                **{**options, **self._fixed[side], "stream": stream, "drop_params": True}
            )
        return await Begun(response, longest_s).begin() if stream else response

    def warm_up(self) -> None:
        """Load what LiteLLM loads with its first call, with the first one that has tools and the
        first that fails: seconds in which no other request of the process would be answered.
        """
        with ThreadPoolExecutor(1) as thread:  # its event loop is no other's
            thread.submit(asyncio.run, _make_first_calls()).exception()

    async def close(self) -> None:
        """Close the connections that LiteLLM keeps, of this process."""
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()


async def _make_first_calls() -> None:
    """Make a call that LiteLLM answers itself, and one of an address where nobody listens."""
    tool = {"type": "function", "function": {"name": "none", "parameters": {"type": "object"}}}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        ways: list[dict[str, Any]] = [{"mock_response": "none"}, {"api_base": nowhere}]
        for options in ways:
            with suppress(Exception):
                await litellm.acompletion(
                    model="openai/none",
                    api_key="none",
                    messages=[{"role": "user", "content": "none"}],
                    tools=[tool],
                    max_retries=0,
                    timeout=2.0,
                    **options,
                )


def _read_fixed(side: Route, upstream: Upstream) -> dict[str, Any]:
    stated = {
        "model": upstream.model,
        "api_base": upstream.api_base,
        "api_key": _read_key(side, upstream.api_key),
        "timeout": upstream.timeout_s or TIMEOUT_S,
        "max_retries": _RETRIES[side],
    }
    return {name: value for name, value in stated.items() if value is not None}


def _read_key(side: Route, variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable.removeprefix("os.environ/"))
    if not key:
        raise InvalidValueError(
            f"--{side}-api-key", variable, rule="name a variable that is set and not empty"
        )
    return key


class Begun:
    """A stream whose first chunk has come, so that an error before it can still be answered.

    Parameters
    ----------
    stream : async iterable
        LiteLLM's.
    longest_s : float
        Seconds between two chunks.
    """

    def __init__(self, stream: Any, longest_s: float) -> None:
        self._hidden_params = getattr(stream, "_hidden_params", None)
        self._longest_s = longest_s
        self._given, self._stream, self._first = stream, aiter(stream), list[Any]()

    @property
    def received_finish_reason(self) -> str | None:
        """Why the model ended, as LiteLLM's stream has it; ``None``: it did not say."""
        finish = getattr(self._given, "received_finish_reason", "")
        return finish if isinstance(finish, str | None) else ""

    async def begin(self) -> Begun:
        """Wait for the first chunk, and return the stream."""
        with suppress(StopAsyncIteration):
            self._first.append(await self._take())
        return self

    async def __aiter__(self) -> AsyncIterator[Any]:
        for chunk in self._first:
            yield chunk
        while True:
            try:
                chunk = await self._take()
            except StopAsyncIteration:
                return
            yield chunk

    async def _take(self) -> Any:
        async with asyncio.timeout(self._longest_s):
            return await anext(self._stream)


_PREFIX = re.compile(r"litellm\.\w+: (?:\w+(?:Exception|Error) - )?")


class Failure(NamedTuple):
    """What a client is told of a call that failed."""

    status: int
    kind: str
    """As OpenAI calls it."""
    message: str
    retry_after: str | None = None


def read_failure(error: BaseException) -> Failure:
    """Return what a client is told of an error. What a provider says of the request goes to who
    sent it; what it says of our key and of itself does not.
    """
    if isinstance(error, TimeoutError | litellm.exceptions.Timeout):
        return Failure(504, "timeout", "The model did not answer in time. Ask again.")
    status = getattr(error, "status_code", None)
    if status == 429:
        wait = _read_wait(error)
        return Failure(429, "rate_limit_error", "The model is at its limit. Ask again later.", wait)
    if status in (400, 404, 413, 422) and isinstance(error, litellm.exceptions.BadRequestError):
        # Without what LiteLLM puts before it: the names of its own classes.
        said = _PREFIX.sub("", str(getattr(error, "message", "")))[:1_000]
        return Failure(status, "invalid_request_error", said or "The model refused the request.")
    if isinstance(error, NoAnswerError):
        return Failure(502, "api_error", "The model gave no answer. Ask again.")
    return Failure(502, "api_error", "The model could not be asked. The service's log says why.")


def _read_wait(error: BaseException) -> str | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    return value if isinstance(value, str) and value.isascii() and value.isprintable() else None


def as_whole(response: Any) -> dict[str, Any]:
    """Return a response as it is sent."""
    body: dict[str, Any] = response.model_dump(exclude_none=True)
    restore_refusals(body)
    for choice in body.get("choices", ()):
        message = choice.get("message")
        for form in (choice, message):
            own = form.get("provider_specific_fields") if isinstance(form, dict) else None
            if isinstance(own, dict) and not any(value is not None for value in own.values()):
                del form["provider_specific_fields"]  # LiteLLM's, with nothing in it
        if isinstance(message, dict):
            message.setdefault("content", None)  # beside tool calls, and expected there
    return body


def as_event(chunk: Any, *, with_usage: bool) -> str | None:
    """Return a chunk of a stream as the JSON of its event; ``None`` for one that says nothing but
    usage to a client that asked for none.
    """
    if with_usage or getattr(chunk, "usage", None) is None:
        return str(chunk.model_dump_json(exclude_none=True))
    is_empty = not any(
        choice.finish_reason or choice.delta.content or choice.delta.tool_calls
        for choice in chunk.choices
    )
    return None if is_empty else str(chunk.model_dump_json(exclude_none=True, exclude={"usage"}))
