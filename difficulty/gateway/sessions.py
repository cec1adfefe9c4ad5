"""What a gateway remembers of sessions: the route that each was on last, for as long as a provider
may have its prompt in a cache.

A session is found by the id that the client names it by, and else by how its conversation began:
all messages up to the model's first answer, which is that of one conversation alone where the model
called a tool or said more than a word. A request without an id and without an answer in it begins a
session; one whose first answer comes back changed (cut, trimmed) is not found, so it is decided
alone.

Keys are keyed hashes of the client and of that, so that an id that another client sends too is
another session, and nothing that clients sent is kept. Each process remembers its own, at most
``most`` and none longer than ``keep_s``; of a session that is forgotten the next step is decided
alone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
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
        """Return what a session is kept under; ``None`` where nothing tells it from others yet.

        Parameters
        ----------
        messages : sequence of mapping
            The request's; where they are malformed, only an id can find the session.
        session : str, optional
            The client's id of it.
        client : str, optional
            Whose it is: whatever the server knows the client by.
        answer : Answer, optional
            What the model said to these messages, once it has.
        """
        if session:
            return self._hash("id", client or "", session)
        try:
            beginning = _read_beginning(messages, answer)
        except Exception:  # of what a client sent
            return None
        return None if beginning is None else self._hash("began", client or "", beginning)

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
        """
        model, now = _name_model(policy, route), self._clock()
        with self._lock:
            before = self._states.pop(key, None)
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


def _read_beginning(messages: object, answer: Answer | None) -> str | None:
    """Return a conversation up to the model's first answer; ``None`` where there is none."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return None
    roles = [message.get("role") for message in messages if isinstance(message, Mapping)]
    if len(roles) < len(messages):
        return None
    if "assistant" in roles:
        begun: list[Mapping[str, Any]] = [*messages[: roles.index("assistant") + 1]]
    elif answer is None:
        return None
    else:
        begun = [*messages, answer.as_message()]
    first = render([begun[-1]])
    # Apart, so that an answer is not taken for the end of a question.
    return f"{render(begun[:-1])}\0{first}" if first.strip() else None
