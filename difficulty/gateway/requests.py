"""What a gateway does around the router's decision, whatever gateway it is: explore, check answers,
fall back, log.

A gateway opens a :class:`Visit` for each request, calls the model of its route, notes the call,
asks whether to fall back, and closes the visit, which writes one event. It calls models itself;
nothing here waits for a network.

    visit = gateway.open(body, id=request_id, task=task)
    call = gateway.note(visit, "answer", answer=Answer.of(reply), usage=usage)
    if gateway.falls_back(visit, call):
        ...  # call the frontier model once, and note that with role "fallback"
    gateway.close(visit)
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from difficulty.bundle.policy import Exploration, Policy
from difficulty.events import Call, CallRole, Check, DecisionEvent, FallbackCause, Outcome
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.validators import Answer, Asked, Checker
from difficulty.records import Prices
from difficulty.route import Route
from difficulty.runtime.router import Decision, Router
from difficulty.runtime.rule import Reason

EXPLORED: frozenset[Reason] = frozenset({"above_threshold", "within_threshold", "unfamiliar"})
"""Reasons whose routes may be exchanged."""


class Routed(NamedTuple):
    """The route taken."""

    route: Route
    propensity: float
    """Probability of this route, in (0, 1]."""
    shadow: bool
    """Whether the other model is asked too."""


def explore(route: Route, reason: Reason, settings: Exploration, *, id: str) -> Routed:
    """Return the route that the request ``id`` takes, given the one that the rule named."""
    epsilon = settings.epsilon if reason in EXPLORED else 0.0
    shadow = chance("shadow", settings.seed, id) < settings.shadow
    # A hash, not a generator: the same request takes the same route in every process, and chance
    # for one purpose says nothing of chance for the other.
    if chance("explore", settings.seed, id) < epsilon:
        return Routed(other(route), epsilon, shadow)
    return Routed(route, 1.0 - epsilon, shadow)


def other(route: Route) -> Route:
    """Return the other one of the two."""
    return "frontier" if route == "cheap" else "cheap"


def chance(purpose: str, seed: int, id: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the arguments."""
    digest = sha256(f"{purpose}:{seed}:{id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


logger = logging.getLogger("difficulty.runtime")

Redact = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]


class Decider(Protocol):
    """What decides: a :class:`difficulty.runtime.Router`, or something that holds one and may
    exchange it.
    """

    @property
    def current(self) -> Router:
        """The router of the bundle that decides now."""


class Usage(NamedTuple):
    """Tokens that a call took, where the model says."""

    prompt: int | None = None
    completion: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """A request on its way through the gateway."""

    id: str
    time: datetime
    started: float
    """Of ``time.perf_counter``, like ``ended``."""
    asked: Asked
    decision: Decision
    routed: Routed
    policy: Policy
    decision_ms: float
    group: str | None
    messages: tuple[Mapping[str, Any], ...] | None
    streamed: bool = False
    calls: list[Call] = field(default_factory=list)
    fallback: FallbackCause | None = None
    ended: float | None = None
    reason: str
    """The decision's, or ``gateway`` where the gateway took another route by a rule of its own."""
    number: str = ""
    """Where :class:`difficulty.gateway.visits.Visits` keeps it."""

    @property
    def route(self) -> Route:
        """The route taken."""
        return self.routed.route


class Gateway:
    """Decide, check and log; :class:`~difficulty.gateway.settings.GatewaySettings` says what the
    parameters mean. Without a log nothing is logged, without prices the cost of calls is unknown.
    """

    def __init__(
        self,
        router: Decider,
        *,
        log: DecisionLog | None = None,
        prices: Prices | None = None,
        texts: bool = False,
        redact: Redact | None = None,
        salt: str = "",
        allowed: Sequence[str] = (),
    ) -> None:
        self.router = router
        self.log, self.prices, self.salt = log, prices, salt
        self.texts, self.redact = texts, redact
        self.allowed = tuple(allowed)
        self._validators = self._build(router.current.policy)

    def open(
        self,
        body: Mapping[str, Any],
        *,
        id: str,
        task: str | None = None,
        tokens: int | None = None,
        group: str | None = None,
    ) -> Visit:
        """Decide on a request.

        Parameters
        ----------
        body : mapping
            OpenAI chat completion request.
        id : str
            Of the request; chance is a hash of it.
        task : str, optional
            Where the caller names it; nothing else is taken for one.
        tokens : int, optional
            The caller's own count.
        group : str, optional
            Conversation or user; logged as a salted hash.
        """
        when, started = datetime.now(UTC), time.perf_counter()
        # Decision and policy come from one bundle, whatever is exchanged meanwhile.
        router, messages = self.router.current, body.get("messages")
        decision = router.decide([] if messages is None else messages, task, tokens=tokens)
        return Visit(
            id=id,
            time=when,
            started=started,
            asked=Asked.of(body, task=task),
            decision=decision,
            routed=explore(decision.route, decision.reason, router.policy.exploration, id=id),
            policy=router.policy,
            reason=decision.reason,
            decision_ms=(time.perf_counter() - started) * 1000,
            group=self._hash(group),
            messages=self._loggable(messages),
            streamed=bool(body.get("stream")),
        )

    def note(
        self,
        visit: Visit,
        role: CallRole,
        *,
        answer: Answer | None = None,
        usage: Usage = Usage(),  # noqa: B008 - immutable
        latency_ms: float | None = None,
        error: str | None = None,
        side: Route | None = None,
    ) -> Call:
        """Note a call of a model, and check its answer where there is one."""
        called = side or _called_side(visit, role)
        call = Call(
            role=role,
            side=called,
            model=visit.policy.cheap_model if called == "cheap" else visit.policy.frontier_model,
            prompt_tokens=usage.prompt,
            completion_tokens=usage.completion,
            cost_usd=self._cost(called, usage),
            latency_ms=latency_ms,
            checks=() if answer is None else self.checks(visit, answer),
            error=error,
        )
        visit.calls.append(call)
        return call

    def checks(self, visit: Visit, answer: Answer) -> tuple[Check, ...]:
        """Return what the policy's validators say of an answer."""
        return self._checker_of(visit.policy)(answer, visit.asked)

    def is_slow(self, visit: Visit) -> bool:
        """Return whether checking may take its time, so that an event loop should not wait for
        it.
        """
        return self._checker_of(visit.policy).slow

    def falls_back(self, visit: Visit, call: Call) -> bool:
        """Return whether the frontier model is to be called because the cheap answer failed
        validation, and note that.
        """
        is_cheap_answer = call.side == "cheap" and call.role == "answer" and call.error is None
        if is_cheap_answer and call.passed is False and visit.policy.fallback.on_validation_failure:
            visit.fallback = "validation"
        return visit.fallback == "validation"

    def close(self, visit: Visit, outcome: Outcome = "answered") -> DecisionEvent:
        """Return the event of a request, and hand it to the log."""
        event = event_of(visit, outcome)
        if self.log is not None:
            self.log.write(event)
        return event

    def _checker_of(self, policy: Policy) -> Checker:
        """Return the validators of a policy; those of a bundle that was loaded meanwhile are built
        with the first request.
        """
        validators = self._validators  # read once: another thread may put others in its place
        if validators.policy is not policy:
            try:
                validators = self._build(policy)
            except Exception as error:  # requests go on: at the start the same error would stop us
                logger.warning(
                    "the validators of the new policy cannot be built, so no answer is checked: %s",
                    error,
                )
                validators = _Validators(policy, Checker(()))
            self._validators = validators
        return validators.checker

    def _build(self, policy: Policy) -> _Validators:
        return _Validators(policy, Checker(policy.fallback.validators, allowed=self.allowed))

    def _cost(self, side: Route, usage: Usage) -> float | None:
        if self.prices is None or usage.prompt is None or usage.completion is None:
            return None
        per_input: float = getattr(self.prices, f"{side}_input")
        per_output: float = getattr(self.prices, f"{side}_output")
        return (usage.prompt * per_input + usage.completion * per_output) / 1e6  # per million

    def _hash(self, group: str | None) -> str | None:
        if not group or not self.salt:
            return None
        named = group.encode("utf-8", "surrogatepass")
        return hmac.new(self.salt.encode(), named, sha256).hexdigest()[:16]

    def _loggable(self, messages: Any) -> tuple[Mapping[str, Any], ...] | None:
        """Return the messages as the log may hold them; ``None`` where it may not."""
        is_list = isinstance(messages, Sequence) and not isinstance(messages, str | bytes)
        if not self.texts or not is_list:
            return None
        whole = tuple(message for message in messages if isinstance(message, Mapping))
        if self.redact is None:
            return whole
        try:
            return tuple(self.redact(whole))
        except Exception as error:  # of a function that is not ours; better no text than a bare one
            logger.warning(
                "redaction failed (%s), the messages of this request are not logged",
                type(error).__name__,
            )
            return None


class _Validators(NamedTuple):
    """Validators, and the policy they are of: exchanged in one step."""

    policy: Policy
    checker: Checker


def event_of(visit: Visit, outcome: Outcome) -> DecisionEvent:
    """Return the event of a visit as it is now."""
    decision = visit.decision
    return DecisionEvent(
        id=visit.id,
        time=visit.time,
        bundle_version=decision.bundle_version,
        route=visit.route,
        policy_route=decision.route,
        reason=visit.reason,
        difficulty_score=decision.difficulty_score,
        p_cheap_fails=decision.p_cheap_fails,
        p_frontier_fails=decision.p_frontier_fails,
        familiarity=decision.familiarity,
        threshold=decision.threshold,
        propensity=visit.routed.propensity,
        task=decision.task,
        tokens=decision.tokens,
        tokens_source=decision.tokens_source,
        truncated=decision.truncated,
        scored_by=decision.scored_by,
        decision_error=decision.error,
        calls=tuple(visit.calls),
        fallback=visit.fallback,
        outcome=outcome,
        streamed=visit.streamed,
        latency_ms=((visit.ended or time.perf_counter()) - visit.started) * 1000,
        decision_ms=visit.decision_ms,
        group=visit.group,
        messages=visit.messages,
    )


def _called_side(visit: Visit, role: CallRole) -> Route:
    if role == "fallback":
        return "frontier"
    return visit.route if role == "answer" else other(visit.route)
