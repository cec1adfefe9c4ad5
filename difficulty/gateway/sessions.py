"""What a gateway remembers of sessions: the route that each was on last, for as long as a provider
may have its prompt in a cache.

A session is found by the id that the client names it by, and else by an answer that went out
through here: by all messages up to the first one of the conversation, and where that is none of
ours (examples in the prompt, a greeting, which all conversations of an application begin with), by
all messages up to the last. Each is that of one conversation alone where the model called a tool or
said more than a word. A request without an id of which neither is known begins a session; one whose
answers come back changed (cut, trimmed) is not found, so it is decided alone.

Keys are keyed hashes of the client and of that, so that an id that another client sends too is
another session, and nothing that clients sent is kept. Each process remembers its own, at most
``most`` and none longer than ``keep_s``; of a session that is forgotten the next step is decided
alone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from difficulty.answers.answer import Answer
from difficulty.bundle.policy import Policy
from difficulty.records import Prices
from difficulty.request import continues_loop
from difficulty.routes import Held, Route
from difficulty.text import render


class SessionState(NamedTuple):
    """Where a session is."""

    route: Route
    model: str
    """By its name: a bundle that came since may mean another one by the same route."""
    at: float
    """Of the clock, when its last step ended."""
    cached_tokens: int | None
    """What the next step would find in that model's cache."""


class Sessions:
    """The sessions of one process, safe to use from several threads.

    Parameters
    ----------
    secret : str
        What keys are hashed with.
    most : int
        Sessions that are remembered; of more, the one whose last step is longest ago goes.
    keep_s : float
        Seconds after the last step when a session is forgotten.
    clock : callable
        Seconds of a clock that the machine's time does not move.
    """

    def __init__(
        self,
        *,
        secret: str,
        most: int = 100_000,
        keep_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.keep_s = most, keep_s
        self._secret = blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        self._clock = clock
        self._states: OrderedDict[bytes, SessionState] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._states)

    def key(
        self,
        messages: object,
        *,
        session: str | None,
        client: str | None,
        answer: Answer | None = None,
    ) -> bytes | None:
        """Return what a session is kept under from this request on; ``None`` where nothing tells
        it from others.

        Parameters
        ----------
        messages : sequence of mapping
            The request's; where they are malformed, only an id can find the session.
        session : str, optional
            The client's id of it.
        client : str, optional
            Whose it is: whatever the server knows the client by.
        answer : Answer, optional
            What the model said to these messages; without an id nothing is told before.
        """
        if session:
            return self._hash("id", client or "", session)
        try:
            said = None if answer is None else _read_answered(messages, answer)
        except Exception:  # of what a client sent
            return None
        return None if said is None else self._hash("said", client or "", said)

    def keys(
        self, messages: object, *, session: str | None, client: str | None
    ) -> Iterator[tuple[bytes, bool]]:
        """Yield what the session of a request may be kept under, the likeliest first, and whether
        its next steps are found by the same; arguments as in :meth:`key`.
        """
        if session:
            yield self._hash("id", client or "", session), True
            return
        try:
            roles = _roles(messages)
            places = [place for place, role in enumerate(roles) if role == "assistant"]
            # Of a long conversation the first answer is quick to hash, so the last comes after it.
            for place in dict.fromkeys((*places[:1], *places[-1:])):
                if (said := _joined(messages[: place + 1])) is not None:  # type: ignore[index]
                    yield self._hash("said", client or "", said), place == places[0]
        except Exception:  # of what a client sent
            return

    def find(self, key: bytes | None, policy: Policy, messages: object) -> Held | None:
        """Return what is known of the session of a request; ``None`` where there is none, or its
        model is no longer one of the policy's.
        """
        if key is None:
            return None
        with self._lock:
            state = self._states.get(key)
            # A clock that went back, as some virtual machines' do, makes nothing older.
            idle_s = 0.0 if state is None else max(self._clock() - state.at, 0.0)
            if state is not None and idle_s > self.keep_s:
                del self._states[key]
                return None
        if state is None or state.model != _name_model(policy, state.route):
            return None
        return Held(state.route, continues_loop(messages), state.cached_tokens, idle_s)

    def note(
        self,
        key: bytes,
        policy: Policy,
        route: Route,
        *,
        prompt: int | None = None,
        cached: int | None = None,
        after: bytes | None = None,
    ) -> None:
        """Note a step that was answered.

        Parameters
        ----------
        key : bytes
        policy : Policy
            The one that decided.
        route : str
            The route that the session is on now.
        prompt, cached : int, optional
            Tokens of the prompt of that route's call, and those that the provider read from its
            cache, where it says so.
        after : bytes, optional
            What the step before was kept under, where that is another.
        """
        model, now = _name_model(policy, route), self._clock()
        with self._lock:
            before = self._states.pop(key, None)
            if before is None and after is not None:  # which stays: it may be answered again
                before = self._states.get(after)
            stays = before is not None and (before.route, before.model) == (route, model)
            if prompt is None:  # that model was not called in this step, or did not say
                tokens = before.cached_tokens if before is not None and stays else None
            else:
                tokens = _expect_cached(prompt, cached, is_first=not stays)
            self._states[key] = SessionState(route, model, now, tokens)
            while self._states:  # those whose last step is longest ago stand first
                oldest = next(iter(self._states.values()))
                if len(self._states) <= self.most and now - oldest.at <= self.keep_s:
                    return
                self._states.popitem(last=False)

    def _hash(self, kind: str, *parts: str) -> bytes:
        digest = blake2b(kind.encode(), key=self._secret, digest_size=16)
        for part in parts:
            content = part.encode("utf-8", "surrogatepass")
            # With its length, so that no part runs into the next.
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.digest()


def price_switch(prices: Prices | None, held: Held) -> float | None:
    """Return the USD that the other model's cold cache would cost: the tokens that are cached where
    the session is, at the other one's full price in place of its price for cached ones; ``None``
    where either is not known.
    """
    if prices is None or held.cached_tokens is None:
        return None
    to: Route = "frontier" if held.route == "cheap" else "cheap"
    return prices.cold_cost(to, held.cached_tokens)


def _name_model(policy: Policy, route: Route) -> str:
    return policy.cheap_model if route == "cheap" else policy.frontier_model


def _expect_cached(prompt: int, cached: int | None, *, is_first: bool) -> int | None:
    """Return what the next step will find in a cache, where its provider counts cached tokens: all
    of this prompt, unless a step that might have found something found nothing.
    """
    if cached is None:
        return None
    return prompt if is_first or cached > 0 else 0


def _roles(messages: object) -> list[object]:
    """Return the roles of messages; none where one is no message."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return []
    roles = [message.get("role") for message in messages if isinstance(message, Mapping)]
    return roles if len(roles) == len(messages) else []


def _read_answered(messages: object, answer: Answer) -> str | None:
    """Return messages with what the model said to them; ``None`` where that tells nothing."""
    if not _roles(messages):
        return None
    return _joined([*messages, answer.as_message()])  # type: ignore[misc]


def _joined(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a conversation that ends with an answer; ``None`` where that one is empty."""
    last = render([messages[-1]])
    # Apart, so that an answer is not taken for the end of a question.
    return f"{render(messages[:-1])}\0{last}" if last.strip() else None
