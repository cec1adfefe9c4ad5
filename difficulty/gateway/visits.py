"""A request on its way through a gateway: the route it takes, its calls, and the event they
make.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from difficulty.answers.answer import Answer, Asked
from difficulty.bundle.policy import Exploration, Policy
from difficulty.events import Call, CallRole, DecisionEvent, Escalation, FallbackCause, Outcome
from difficulty.request import Messages
from difficulty.routes import Route
from difficulty.runtime.answer_checker import AnswerChecker
from difficulty.runtime.decision import Decision
from difficulty.runtime.rule import Reason

EXPLORED: frozenset[Reason] = frozenset(
    {"above_threshold", "within_threshold", "stick", "unfamiliar"}
)
"""Reasons whose routes may be exchanged."""


class Routed(NamedTuple):
    """The route taken."""

    route: Route
    propensity: float
    """Probability of this route, in (0, 1]."""
    shadow: bool
    """Whether the other model is asked too."""


def explore(
    route: Route, reason: Reason, settings: Exploration, *, id: str, secret: str = ""
) -> Routed:
    """Return the route that the request ``id`` takes, given the one that the rule named; without
    the ``secret`` nobody can tell it from the id.
    """
    if reason == "ineligible":  # the other model cannot take it
        return Routed(route, 1.0, False)
    epsilon = settings.epsilon if reason in EXPLORED else 0.0
    shadow = chance("shadow", settings.seed, id, secret=secret) < settings.shadow
    # A hash, not a generator: the same request takes the same route in every process, and chance
    # for one purpose says nothing of chance for the other.
    if chance("explore", settings.seed, id, secret=secret) < epsilon:
        return Routed(other(route), epsilon, shadow)
    return Routed(route, 1.0 - epsilon, shadow)


def other(route: Route) -> Route:
    """Return the other one of the two."""
    return "frontier" if route == "cheap" else "cheap"


def chance(purpose: str, seed: int, id: str, *, secret: str = "") -> float:
    """Return a number in [0, 1) that depends on nothing but the arguments."""
    drawn = f"{purpose}:{seed}:{id}".encode("utf-8", "surrogatepass")
    digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), drawn, "sha256")
    return int.from_bytes(digest[:6], "big") / 2**48


class Usage(NamedTuple):
    """Tokens that a call took, where the model says."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    """Of the prompt's tokens, those that the provider read from its cache."""
    hit: bool = False
    """Whether the gateway answered from a cache of its own: no model was called."""


class SessionAsked(NamedTuple):
    """By what a session is found."""

    key: bytes | None
    """``None``: by its answer, which is still to come."""
    client: str | None
    after: bytes | None = None
    """By what its last step was found, where that is another."""


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """A request on its way through the gateway."""

    id: str
    time: datetime
    started: float
    """Of ``time.perf_counter``, like ``ended``."""
    asked: Asked
    asked_messages: Messages
    """What is checked beside the answer: only as long as the visit is open."""
    lot: str
    """What chance is a hash of."""
    answers: AnswerChecker | None = None
    """The learned check of the bundle that decided."""
    decision: Decision
    routed: Routed
    policy: Policy
    decision_ms: float
    group: str | None
    messages: tuple[Mapping[str, Any], ...] | None
    tools: tuple[Mapping[str, Any], ...] | None = None
    streamed: bool = False
    can_hold: bool = True
    """Whether a stream may be held back until it is checked."""
    calls: list[Call] = field(default_factory=list)
    fallback: FallbackCause | None = None
    escalation: Escalation | None = None
    """What the learned check said of the cheap answer, and what is done."""
    ended: float | None = None
    reason: str
    """The decision's, or ``gateway`` where the gateway took another route by a rule of its own."""
    notes: tuple[str, ...] = ()
    """What came with the request and was left out, and why."""
    session: SessionAsked | None = None
    """The session that it is a step of, where the policy keeps its model."""
    answer: Answer | None = None
    """What the client got, only where the session is told by it."""
    number: str = ""
    """Where :class:`difficulty.gateway.requests.Visits` keeps it."""

    @property
    def route(self) -> Route:
        """The route taken."""
        return self.routed.route

    @property
    def may_fall_back(self) -> bool:
        """Whether the frontier model may be asked after the cheap one: not about what it cannot
        take.
        """
        return self.decision.can_take != "cheap"

    @property
    def is_checked(self) -> bool:
        """Whether the client gets a cheap answer only after the learned check."""
        is_held = self.can_hold and self.policy.fallback.streaming == "buffer"
        return not self.streamed or is_held

    @property
    def session_route(self) -> Route:
        """The route that its session is on after it: the rule's, so that exploring one step changes
        no other; the frontier one where that model answered in the end; and the gateway's own.
        """
        if self.fallback is not None:
            return "frontier"
        return self.route if self.reason != self.decision.reason else self.decision.route

    def side_of(self, role: CallRole) -> Route:
        """Return which model a role calls."""
        if role == "fallback":
            return "frontier"
        return self.route if role == "answer" else other(self.route)

    def event(self, outcome: Outcome) -> DecisionEvent:
        """Return the event of the visit as it is now."""
        decision = self.decision
        return DecisionEvent(
            id=self.id,
            time=self.time,
            bundle_version=decision.bundle_version,
            route=self.route,
            policy_route=decision.route,
            reason=self.reason,
            difficulty_score=decision.difficulty_score,
            p_cheap_fails=decision.p_cheap_fails,
            p_frontier_fails=decision.p_frontier_fails,
            familiarity=decision.familiarity,
            threshold=decision.threshold,
            propensity=self.routed.propensity,
            task=decision.task,
            tokens=decision.tokens,
            tokens_source=decision.tokens_source,
            truncated=decision.truncated,
            masked_share=decision.masked_share,
            scored_by=decision.scored_by,
            held_on=decision.held_on,
            switch_cost_usd=decision.switch_cost_usd,
            decision_error=decision.error,
            ineligible=decision.ineligible,
            calls=tuple(self.calls),
            fallback=self.fallback,
            escalation=self.escalation,
            outcome=outcome,
            streamed=self.streamed,
            latency_ms=((self.ended or time.perf_counter()) - self.started) * 1000,
            decision_ms=self.decision_ms,
            group=self.group,
            messages=self.messages,
            tools=self.tools,
            notes=self.notes,
        )
