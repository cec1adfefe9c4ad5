"""From a decision to the end of its answer: check it, hold a stream back, fall back, ask the other
model in the shadow, log. Whoever calls the models: a LiteLLM proxy, or ``difficulty serve`` by
LiteLLM's SDK.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from difficulty.errors import MissingExtraError
from difficulty.events import Call, CallRole, DecisionEvent, FallbackCause, Outcome
from difficulty.gateway.requests import EMPTY, Gateway, Visits
from difficulty.gateway.settings import GatewaySettings
from difficulty.gateway.visits import Visit, other
from difficulty.integrations.litellm_reply import Reply, count_chars, find_finish, says_something
from difficulty.routes import Route
from difficulty.telemetry.meter import Recorder
from difficulty.telemetry.request_counts import count_event

try:
    import litellm
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("calling models", package="litellm", extra="serve") from error

logger = logging.getLogger("difficulty.runtime")

Calling = Callable[[Route, bool], Awaitable[Any]]
"""Calls one of the models as the client asked; the second says whether its answer is streamed."""
_CAUSES: tuple[tuple[type[Exception], FallbackCause], ...] = (
    (litellm.exceptions.Timeout, "timeout"),
    (litellm.exceptions.RateLimitError, "rate_limit"),
)


class NoAnswerError(Exception):
    """A model answered without an answer: no choice, or a stream that ended before it said a word
    or why it ended.
    """


class AnswerFlow:
    """Carry requests from their decision to the end of their answer.

    Parameters
    ----------
    gateway : Gateway
    settings : GatewaySettings
        Of which the limits of streams and shadow calls are read.
    recorder : Recorder, optional
        What counts each request that has ended, beside the log.
    """

    def __init__(
        self, gateway: Gateway, settings: GatewaySettings, *, recorder: Recorder | None = None
    ) -> None:
        self.gateway, self.settings = gateway, settings
        self.visits = Visits(gateway)
        self._recorder = recorder
        self._shadows: set[asyncio.Task[None]] = set()

    def close(self, visit: Visit, outcome: Outcome = "answered") -> DecisionEvent | None:
        """Log and count a visit; ``None`` when that was done already."""
        event = self.visits.close(visit, outcome)
        if event is not None and self._recorder is not None:
            count_event(self._recorder, event)
        return event

    def end(self, visit: Visit, call: Calling) -> None:
        """Log a request that was answered, after its shadow call where it has one."""
        visit.ended = visit.ended or time.perf_counter()
        # After a fallback both models were called already.
        if not visit.routed.shadow or visit.fallback is not None:
            self.close(visit)
        elif len(self._shadows) >= self.settings.most_shadows:
            self.gateway.note(visit, "shadow", error="skipped")
            self.close(visit)
        else:
            task = asyncio.create_task(self._shadow(visit, call))
            self._shadows.add(task)  # asyncio itself keeps no task alive
            task.add_done_callback(self._shadows.discard)

    def fail(self, visit: Visit, error: BaseException) -> None:
        """Log a request that got no answer, or not all of it."""
        last = visit.calls[-1] if visit.calls else None
        if last is None or last.error is None or last.role != find_role(visit):
            self.gateway.note(visit, find_role(visit), error=name_error(error))
        visit.ended = time.perf_counter()
        self.close(visit, "failed")

    async def drain(self) -> None:
        """Give up shadow calls that are under way, and log what is known."""
        shadows = list(self._shadows)
        for task in shadows:
            task.cancel()
        await asyncio.gather(*shadows, return_exceptions=True)

    async def settle(
        self, visit: Visit, response: Any, call: Calling, *, since: float | None = None
    ) -> Any:
        """Check a whole answer, of a call begun at ``since``; return the one that the client
        gets.

        Raises
        ------
        NoAnswerError
            If there is none, not even an empty one.
        Exception
            What the frontier model's call raised, where the cheap answer says nothing.
        """
        began = visit.started if since is None else since
        reply = Reply.of(response)
        noted = await self.note(visit, find_role(visit), reply, since=began)
        if self.gateway.falls_back(visit, noted) or (
            reply.is_empty and self.gateway.replaces_empty(visit, noted)
        ):
            # What says nothing is not better than an error that says why.
            return await self._fall_back(visit, call, None if reply.is_empty else response)
        if not reply.has_choices:
            raise NoAnswerError
        return response

    def is_held(self, visit: Visit) -> bool:
        """Return whether a stream is held back until it is checked: what the frontier model says is
        never replaced.
        """
        is_checked = visit.route == "cheap" and visit.fallback is None
        return is_checked and visit.can_hold and visit.policy.fallback.streaming == "buffer"

    async def stream(self, visit: Visit, response: Any, call: Calling) -> AsyncGenerator[Any, None]:
        """Send a stream on, or hold it back until it is checked."""
        chunks = (
            self._hold_back(visit, response, call)
            if self.is_held(visit)
            else self._begin(visit, response, call)
        )
        async for chunk in chunks:
            yield chunk

    async def note(
        self, visit: Visit, role: CallRole, reply: Reply, *, since: float, advisory: bool = False
    ) -> Call:
        """Note a call with its answer; nobody else waits for checks that take their time."""
        latency_ms = _ms_since(since)
        pending = self.gateway.begin_checks(visit, reply.answer, role, advisory=advisory)
        if pending.futures:
            waiting = [asyncio.wrap_future(future) for future in pending.futures]
            _, late = await asyncio.wait(waiting, timeout=pending.left_s)
            for future in late:  # nothing is known of those
                future.cancel()
        return self.gateway.note(
            visit, role, usage=reply.usage, latency_ms=latency_ms, pending=pending
        )

    def note_failure(self, visit: Visit, error: BaseException) -> None:
        """Note that the cheap model failed, so that the frontier one is called."""
        if visit.route == "cheap" and visit.fallback is None:
            visit.fallback = find_cause(error)
            self.gateway.note(
                visit, "answer", error=name_error(error), latency_ms=_ms_since(visit.started)
            )

    def take_over(self, visit: Visit, error: BaseException) -> bool:
        """Note that the cheap model failed before anything was sent; return whether the frontier
        model is to answer.
        """
        may_fall_back = visit.policy.fallback.on_call_failure and visit.may_fall_back
        if visit.route != "cheap" or visit.fallback is not None or not may_fall_back:
            return False
        self.note_failure(visit, error)
        return True

    async def _begin(self, visit: Visit, response: Any, call: Calling) -> AsyncIterator[Any]:
        """Send a stream on from its first word: until that, another model may still answer."""
        chunks: list[Any] = []
        stream, is_silent, is_refused = aiter(response), False, False
        try:
            is_silent = not await _wait_for_word(stream, chunks)
            if is_silent:
                is_refused = await self._is_refused(visit, response, chunks, advisory=True)
                if not is_refused and find_finish(response) is None:
                    raise NoAnswerError
        except Exception as error:
            if not self.take_over(visit, error):
                raise
            is_refused = True
        answering = (
            self._stream_frontier(visit, call, [])
            if is_refused
            else self._send(chunks)  # noted already
            if is_silent
            else self._pass_on(visit, response, stream, chunks)
        )
        async for chunk in answering:
            yield chunk

    async def _pass_on(
        self, visit: Visit, response: Any, stream: AsyncIterator[Any], held: list[Any]
    ) -> AsyncIterator[Any]:
        """Send on what was held of a stream, and then the rest of it as it comes."""
        for chunk in held:
            yield chunk
        chunks = [*held]
        async for chunk in stream:
            chunks.append(chunk)
            yield chunk
        visit.ended = time.perf_counter()
        reply = read_stream(chunks, response)
        await self.note(visit, find_role(visit), reply, since=visit.started, advisory=True)

    async def _hold_back(self, visit: Visit, response: Any, call: Calling) -> AsyncIterator[Any]:
        chunks: list[Any] = []
        stream, is_whole = aiter(response), True
        try:
            is_whole = await self._gather(stream, chunks)
            is_refused = is_whole and await self._is_refused(visit, response, chunks)
        except Exception as error:
            if not self.take_over(visit, error):
                raise
            chunks, is_refused = [], True
        answering = (
            self._stream_frontier(visit, call, chunks)
            if is_refused
            else self._send(chunks)
            if is_whole
            else self._pass_on(visit, response, stream, chunks)
        )
        async for chunk in answering:
            yield chunk

    async def _gather(self, stream: AsyncIterator[Any], chunks: list[Any]) -> bool:
        """Take a stream's chunks, as many as may be held; return whether those are all."""
        left = self.settings.most_buffered
        async for chunk in stream:
            chunks.append(chunk)
            left -= count_chars(chunk)
            if left < 0:
                return False
        return True

    async def _is_refused(
        self, visit: Visit, response: Any, chunks: list[Any], *, advisory: bool = False
    ) -> bool:
        """Note an answer that is held; return whether the frontier model is to answer."""
        # Only now is it known whose answer that was: LiteLLM falls back within a stream.
        reply = read_stream(chunks, response)
        role = find_role(visit)
        noted = await self.note(visit, role, reply, since=visit.started, advisory=advisory)
        if noted.role == "fallback":
            return False
        is_empty = reply.is_empty or not any(map(says_something, chunks))
        is_refused = self.gateway.falls_back(visit, noted) or (
            is_empty and self.gateway.replaces_empty(visit, noted)
        )
        if is_refused and is_empty:
            chunks.clear()  # not better than an error that says why
        return is_refused

    async def _send(self, chunks: list[Any]) -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    async def _stream_frontier(
        self, visit: Visit, call: Calling, held: list[Any]
    ) -> AsyncIterator[Any]:
        """Send the frontier model's stream; if it does not come to a word, what is held is better
        than nothing.
        """
        since, chunks = time.perf_counter(), list[Any]()
        try:
            response = await call("frontier", True)
            stream = aiter(response)
            is_said = await _wait_for_word(stream, chunks)
            if not is_said and (held or find_finish(response) is None):
                raise NoAnswerError
        except Exception as error:
            self._note_lost(visit, error, since, is_kept=bool(held))
            if not held:
                raise
            for chunk in held:
                yield chunk
            return
        for chunk in chunks:
            yield chunk
        if is_said:
            async for chunk in stream:
                chunks.append(chunk)
                yield chunk
        await self.note(visit, "fallback", read_stream(chunks, response), since=since)

    async def _fall_back(self, visit: Visit, call: Calling, kept: Any) -> Any:
        """Call the frontier model once; if that fails, the cheap answer that is ``kept`` is better
        than none.
        """
        since = time.perf_counter()
        try:
            response = await call("frontier", False)
            reply = Reply.of(response)
            if not reply.has_choices or (reply.is_empty and kept is not None):
                raise NoAnswerError
        except Exception as error:
            self._note_lost(visit, error, since, is_kept=kept is not None)
            if kept is None:
                raise
            return kept
        await self.note(visit, "fallback", reply, since=since)
        return response

    def _note_lost(self, visit: Visit, error: Exception, since: float, *, is_kept: bool) -> None:
        """Note that the frontier model failed after the cheap answer did."""
        self.gateway.note(visit, "fallback", error=name_error(error), latency_ms=_ms_since(since))
        logger.warning(
            "the frontier model failed after the cheap answer did (%s)%s",
            type(error).__name__,
            "; the cheap answer is sent" if is_kept else "",
        )

    async def _shadow(self, visit: Visit, call: Calling) -> None:
        """Ask the other model, when the request has its answer, and log then."""
        side, since = other(visit.route), time.perf_counter()
        try:
            response = await asyncio.wait_for(call(side, False), self.settings.shadow_timeout_s)
            await self.note(visit, "shadow", Reply.of(response), since=since)
        except asyncio.CancelledError:
            self.gateway.note(visit, "shadow", error="cancelled")
            raise
        except Exception as error:
            self.gateway.note(visit, "shadow", error=name_error(error), latency_ms=_ms_since(since))
        finally:
            self.close(visit)


def find_role(visit: Visit) -> CallRole:
    """Return what the call was: after a noted failure of the cheap model, the fallback."""
    return "answer" if visit.fallback is None else "fallback"


def find_cause(error: BaseException) -> FallbackCause:
    """Return why the frontier model is called after an error of the cheap one."""
    if isinstance(error, TimeoutError):
        return "timeout"
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "error")


def name_error(error: BaseException) -> str:
    """Return what the log calls an error."""
    if isinstance(error, NoAnswerError):
        return EMPTY
    cause = find_cause(error)
    return type(error).__name__ if cause == "error" else cause


async def _wait_for_word(stream: AsyncIterator[Any], chunks: list[Any]) -> bool:
    """Take a stream's chunks up to the first that says something; return whether one does."""
    async for chunk in stream:
        chunks.append(chunk)
        if says_something(chunk):
            return True
    return False


def read_stream(chunks: list[Any], stream: Any) -> Reply:
    """Return what a stream's chunks make up."""
    return Reply.of_stream(chunks, stream, build=litellm.stream_chunk_builder)


def _ms_since(since: float) -> float:
    return (time.perf_counter() - since) * 1000
